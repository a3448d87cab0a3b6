// What stands where data would: loading, nothing yet, an error; and states as words with colours and shapes.

import { h } from "./dom.js";
import { icon } from "./icons.js";

const TONES = {
  healthy: "good", ready: "good", SUCCESS: "good", passed: "good", ok: "good", online: "good",
  unhealthy: "warn", draining: "warn", RETRY: "warn", queued: "wait", REVOKED: "off", closing: "off", unfinished: "off",
  creating: "run", STARTED: "run", RECEIVED: "wait", SENT: "wait", PENDING: "wait", QUEUED: "wait",
  dead: "bad", FAILURE: "bad", REJECTED: "bad", failed: "bad", error: "bad", offline: "off",
};
const ICONS = { good: "ok", warn: "warn", bad: "bad", wait: "wait", run: "run", off: "pause" };

/**
 * A state as a badge: a word, a shape and a colour.
 * @param {string} state
 * @param {{title?: string, tone?: "good"|"warn"|"bad"|"wait"|"run"|"off"}} [options]
 * @returns {HTMLElement}
 */
export function badge(state, { title, tone = Object.hasOwn(TONES, state) ? TONES[state] : "off" } = {}) {
  return h("span", { class: "badge", dataset: { tone }, title }, icon(ICONS[tone]), h("span", {}, String(state).toLowerCase()));
}

/**
 * Says that there is nothing, and what to do about it.
 * @param {{title: string, text?: string|Node, command?: string, more?: Node}} options `command` can be copied.
 * @returns {HTMLElement}
 */
export function emptyState({ title, text, command, more }) {
  return h(
    "div",
    { class: "notice" },
    h("p", { class: "notice-title" }, title),
    text ? h("p", {}, text) : null,
    command ? commandLine(command) : null,
    more ? h("p", {}, more) : null,
  );
}

/**
 * Says that a call failed, in the server's own sentence.
 * @param {Error} error
 * @param {() => void} [onRetry]
 * @returns {HTMLElement}
 */
export function errorState(error, onRetry) {
  const again = onRetry ? h("p", {}, h("button", { type: "button", onclick: onRetry }, "Try again")) : null;
  const what = error.status ? `Not shown: the call failed (${error.status} ${error.code})` : "Not shown: no answer";
  return h(
    "div",
    { class: "notice", role: "alert", dataset: { tone: "bad" } },
    h("p", { class: "notice-title" }, icon("bad"), " ", what),
    h("p", {}, error.message),
    again,
  );
}

/**
 * Lines that shimmer where text will be.
 * @param {number} [lines]
 * @returns {HTMLElement}
 */
export function skeleton(lines = 3) {
  const line = () => h("span", { class: "skeleton" });
  return h("div", { class: "skeletons", "aria-label": "loading", role: "status" }, Array.from({ length: lines }, line));
}

/**
 * A command to type, with a button that copies it.
 * @param {string} command
 * @returns {HTMLElement}
 */
function commandLine(command) {
  const copy = h("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select and copy it"; // browsers give the clipboard to https and localhost alone
    }
  });
  return h("div", { class: "command" }, h("code", {}, command), copy);
}
