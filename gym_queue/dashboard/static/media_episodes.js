// What lists and views of episodes share.

import { badge } from "./notices.js";

const TONES = { passed: "good", failed: "bad", error: "bad", unjudged: "off", unfinished: "off" };
const TITLES = {
  passed: "the verifier passed it",
  failed: "the verifier did not pass it",
  error: "it could not be judged",
  unjudged: "it ended without a verifier",
  unfinished: "its environment ended first",
};

/** What the address of an episode's view holds. */
export const episodeParams = ({ worker_id, env_id, episode }) => ({ worker: worker_id, env: env_id, episode });

/** How an episode ended, as a badge. */
export function episodeBadge({ outcome, passed }) {
  const known = outcome ?? (passed === true ? "passed" : passed === false ? "failed" : "unfinished");
  return badge(known, { tone: TONES[known] ?? "off", title: TITLES[known] });
}
