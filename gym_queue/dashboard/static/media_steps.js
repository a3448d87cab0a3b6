// Steps as a list: what was done, how long it took, what it brought.

import { h } from "./dom.js";
import { ms, time } from "./format.js";
import { icon } from "./icons.js";
import { describeAll } from "./media_actions.js";
import { jsonBlock } from "./media_list.js";

/**
 * One step as an element that opens to its JSON.
 * @param {Object} step As `Feed.steps` has it.
 * @param {number} now The server's clock.
 * @returns {HTMLElement}
 */
export function stepRow(step, now) {
  const error = step.call && !step.call.ok ? step.call.error_code : null;
  const reward = rewardOf(step.event);
  const summary = h(
    "summary",
    { class: "step-line" },
    h("span", { class: "step-number" }, step.idx === null ? "–" : String(step.idx)),
    h("span", { class: "step-words" }, step.idx === null ? "a step that failed" : describeAll(step.actions)),
    h(
      "span",
      { class: "step-more soft" },
      reward === null ? null : h("span", { class: "step-reward", title: "reward of this step" }, `reward ${reward}`),
      error ? h("span", { class: "step-error" }, icon("bad"), ` ${error}`) : null,
      step.call ? h("span", { title: "how long the call took" }, ms(step.call.duration_ms)) : null,
      time(step.at, now),
    ),
  );
  return h("details", { class: "step" }, summary, jsonBlock(step.event ?? step.call));
}

/** What makes a step's element worth making anew. */
export const stampOf = (step) => `${step.call?.n ?? ""}/${step.call?.error_code ?? ""}`;

/** The reward that a step's event tells of; null when it tells of none. */
export const rewardOf = (event) => (Number.isFinite(event?.reward) ? event.reward : null);
