// The views that the page has.

/** In the order of the navigation, each with the key that follows `g`; those without one are reached from others. */
export const VIEWS = {
  overview: { label: "Overview", key: "o" },
  environments: { label: "Environments", key: "e" },
  queue: { label: "Queue", key: "q" },
  workers: { label: "Workers", key: "w" },
  tasks: { label: "Tasks", key: "t" },
  episodes: { label: "Episodes", key: "p" },
  broker: { label: "Broker", key: "b" },
  environment: { label: "Environment", within: "environments" },
  episode: { label: "Episode", within: "episodes" },
};
