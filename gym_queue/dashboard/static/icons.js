// Icons of 16 × 16, drawn by strokes in the colour of the text beside them.

import { svg } from "./dom.js";

const PATHS = {
  overview: "M2.5 2.5h4.5v5h-4.5zM9 2.5h4.5v3h-4.5zM9 8.5h4.5v5h-4.5zM2.5 10.5h4.5v3h-4.5z",
  workers: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01M8 5h3M8 11h3",
  tasks: "M2.5 4l1 1 2-2M2.5 8l1 1 2-2M2.5 12l1 1 2-2M8 4h5.5M8 8h5.5M8 12h5.5",
  queue: "M2.5 4h11M2.5 8h8M2.5 12h5",
  environments: "M2 3h12v8h-12zM6 13.5h4M8 11v2.5",
  episodes: "M2.5 3h11v10h-11zM6.5 6v4l3.5-2z",
  broker: "M3 4c0-2 10-2 10 0v8c0 2-10 2-10 0zM3 4c0 2 10 2 10 0M3 8c0 2 10 2 10 0",
  "theme-auto": "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  "theme-light": "M8 5a3 3 0 1 0 0 6a3 3 0 1 0 0-6M8 1v1.5M8 13.5v1.5M1 8h1.5M13.5 8h1.5M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  "theme-dark": "M13 9.5a5.5 5.5 0 0 1-6.5-6.5a5.5 5.5 0 1 0 6.5 6.5z",
  help: "M6 6a2 2 0 1 1 2.7 1.9c-.5.2-.7.6-.7 1.1v.5M8 12h.01",
  close: "M4 4l8 8M12 4l-8 8",
  search: "M7 3a4 4 0 1 0 0 8a4 4 0 1 0 0-8M10 10l3.5 3.5",
  up: "M8 12.5v-9M4.5 7l3.5-3.5l3.5 3.5",
  down: "M8 3.5v9M4.5 9l3.5 3.5l3.5-3.5",
  right: "M6 3.5l4.5 4.5l-4.5 4.5",
  ok: "M3 8.5l3.5 3.5l6.5-7.5",
  warn: "M8 2.5l6 11h-12zM8 6.5v3.5M8 11.8h.01",
  bad: "M5.5 2h5l3.5 3.5v5l-3.5 3.5h-5l-3.5-3.5v-5zM8 5v3.5M8 11h.01",
  wait: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M8 5v3l2 1.5",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  dead: "M3 3l10 10M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11",
  play: "M5 3l8 5l-8 5z",
  run: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
};

/**
 * Makes an icon; it says nothing to those who do not see it, so that words must stand beside it or on its button.
 * @param {string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const shape = svg("path", { d: PATHS[name] ?? "M8 8h.01" });
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, shape);
}
