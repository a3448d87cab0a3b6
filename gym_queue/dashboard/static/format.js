// Numbers, durations and times as people read them.

import { h, setText } from "./dom.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const NONE = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const clockTime = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** `12,345`; a dash for no number. */
export function count(value) {
  return isNumber(value) ? whole.format(value) : NONE;
}

/** `12.3 k`, `4.5 M`: for tiles. */
export function compact(value) {
  if (!isNumber(value)) return NONE;
  if (Math.abs(value) < 10_000) return whole.format(value);
  if (Math.abs(value) < 1_000_000) return `${(value / 1000).toFixed(value < 100_000 ? 1 : 0)} k`;
  return `${(value / 1_000_000).toFixed(1)} M`;
}

/** `3.4`, `120`, `0`: per second. */
export function rate(value) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0";
  return value < 10 ? value.toFixed(value < 1 ? 2 : 1) : whole.format(value);
}

/** `42 %` of a number from 0 to 100. */
export function percent(value) {
  return isNumber(value) ? `${Math.round(value)}\u00a0%` : NONE;
}

/** `1.2 MB`. */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let left = value;
  while (left >= 1000 && at < units.length - 1) [left, at] = [left / 1000, at + 1];
  return `${at && left < 10 ? left.toFixed(1) : Math.round(left)}\u00a0${units[at]}`;
}

/** `340 ms`, `1.2 s`, of milliseconds. */
export function ms(value) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0\u00a0ms";
  if (value < 1000) return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0ms`;
  return duration(value / 1000);
}

/** `340 ms`, `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`, of seconds. */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const left = Math.max(0, seconds);
  if (left === 0) return "0\u00a0s";
  if (left < 1) return `${Math.round(left * 1000)}\u00a0ms`;
  if (left < MINUTE) return `${left.toFixed(left < 10 ? 1 : 0)}\u00a0s`;
  if (left < HOUR) return both(left, MINUTE, "min", 1, "s");
  if (left < DAY) return both(left, HOUR, "h", MINUTE, "min");
  return both(left, DAY, "d", HOUR, "h");
}

function both(left, unit, name, part, partName) {
  const rest = Math.floor((left % unit) / part);
  return `${Math.floor(left / unit)} ${name}${rest ? ` ${rest} ${partName}` : ""}`;
}

/** `now`, `12 s ago`, `3 min ago`, of an age in seconds; one below zero (a clock that is ahead) is `now`. */
function ago(age_s) {
  if (!isNumber(age_s)) return NONE;
  if (age_s < 2) return "now";
  if (age_s < MINUTE) return `${Math.floor(age_s)} s ago`;
  if (age_s < HOUR) return `${Math.floor(age_s / MINUTE)} min ago`;
  if (age_s < DAY) return `${Math.floor(age_s / HOUR)} h ago`;
  return `${Math.floor(age_s / DAY)} d ago`;
}

/** `22 Nov 2026, 23:10:04 UTC`, of unix seconds. */
export function date(at) {
  return isNumber(at) ? absolute.format(at * 1000) : NONE;
}

/** `23:10:04`, of unix seconds. */
export function clock(at) {
  return isNumber(at) ? clockTime.format(at * 1000) : NONE;
}

/**
 * Makes a relative time that goes on by `tickTimes`, its absolute time in the title.
 * @param {number|null} at Unix seconds by the server's clock.
 * @param {number} now The server's clock (`api.clock.now()`).
 * @param {"ago"|"for"} [kind] `for` counts up as a duration (`3 min 12 s`).
 * @returns {HTMLElement}
 */
export function time(at, now, kind = "ago") {
  if (!isNumber(at)) return h("span", { class: "none" }, NONE);
  const iso = new Date(at * 1000).toISOString();
  return h("time", { datetime: iso, title: date(at), dataset: { at, kind } }, relative(at, now, kind));
}

/**
 * Brings the relative times below an element up to date.
 * @param {ParentNode} root
 * @param {number} now The server's clock.
 */
export function tickTimes(root, now) {
  for (const element of root.querySelectorAll("time[data-at]")) {
    setText(element, relative(Number(element.dataset.at), now, element.dataset.kind));
  }
}

function relative(at, now, kind) {
  if (kind === "for") return duration(Math.floor(Math.max(0, now - at)));
  return ago(now - at);
}

/** The text cut to a length, an ellipsis in place of the rest; a dash for none. */
export function cut(text, length = 160) {
  if (text === null || text === undefined || text === "") return NONE;
  const whole = typeof text === "string" ? text : JSON.stringify(text);
  return whole.length > length ? `${whole.slice(0, length)}…` : whole;
}
