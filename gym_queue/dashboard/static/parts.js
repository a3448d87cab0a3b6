// Small parts that several views are made of.

import { h } from "./dom.js";
import { percent } from "./format.js";

/** The runners that a worker can have (`gym_queue.names`). */
export const RUNNERS = ["local", "docker", "qemu", "qemu_native", "apptainer", "avd", "avd_native", "avf", "fake"];

/**
 * Names and values, one below the other.
 * @param {[string, Node|string|number|null][]} pairs No value is a dash.
 * @returns {HTMLElement}
 */
export function facts(pairs) {
  const shown = (value) => (value === null || value === undefined || value === "" ? h("span", { class: "none" }, "–") : value);
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, shown(value)))));
}

/**
 * A bar of how much of something is used; what it says stands in words beside it.
 * @param {number|null} part From 0 to 1.
 * @param {string} text
 * @returns {HTMLElement}
 */
export function meter(part, text) {
  const share = Math.min(1, Math.max(0, part ?? 0));
  const tone = share >= 0.95 ? "full" : share >= 0.8 ? "high" : "fine";
  const bar = h("span", { class: "meter", dataset: { tone }, "aria-hidden": "true" }, h("i", { vars: { width: `${share * 100}%` } }));
  return h("span", { class: "metered" }, bar, h("span", {}, text));
}

/** A meter of a number from 0 to 100. */
export function percentMeter(value) {
  return meter(typeof value === "number" ? value / 100 : null, percent(value));
}

/**
 * A labelled long text in its own box; nothing for no text.
 * @param {string} label
 * @param {string|null} text
 * @param {boolean} isCut Whether the server cut it.
 * @returns {Node[]}
 */
export function longText(label, text, isCut) {
  if (text === null || text === undefined || text === "") return [];
  const note = isCut ? h("span", { class: "soft" }, " (cut)") : null;
  return [h("h3", {}, label, note), h("pre", { tabindex: "0" }, String(text))];
}
