// The overview's tiles: environments, capacity, queue, rates, errors, workers.

import { fill, h } from "../dom.js";
import { compact, count, duration, percent, rate } from "../format.js";

const STATES = ["ready", "creating", "closing", "queued"];

/**
 * Shows the tiles.
 * @param {HTMLElement} box
 * @param {Object} overview
 * @param {Object} ctx
 */
export function tiles(box, overview, ctx) {
  const made = [
    environments(overview, ctx), capacity(overview, ctx), queue(overview, ctx), throughput(overview),
    errors(overview, ctx), workers(overview, ctx),
  ];
  if (box.children.length !== made.length) return fill(box, made);
  made.forEach((tile, at) => {
    if (!box.children[at].isEqualNode(tile)) box.children[at].replaceWith(tile);
  });
}

function tile(label, href, value, unit, ...rest) {
  const title = href ? h("a", { href }, label) : label;
  return h("section", { class: "card tile" }, h("h2", {}, title), h("p", { class: "big" }, value, unit ? h("small", {}, ` ${unit}`) : null), rest);
}

function split(pairs) {
  return h("dl", { class: "split" }, pairs.map(([name, value, tone]) => h("div", { dataset: { tone } }, h("dt", {}, name), h("dd", {}, value))));
}

function environments({ envs, totals }, ctx) {
  const rest = STATES.filter((state) => state !== "ready" && envs[state] !== undefined).map((state) => [state, count(envs[state])]);
  return tile("Environments", ctx.href("environments"), compact(envs.ready), "ready", split([...rest, ["created", compact(totals.created)]]));
}

function capacity({ slots }, ctx) {
  const share = slots.total ? slots.used / slots.total : 0;
  const bar = h("span", { class: "meter wide", dataset: { tone: share >= 0.95 ? "full" : share >= 0.8 ? "high" : "fine" }, "aria-hidden": "true" }, h("i", { vars: { width: `${share * 100}%` } }));
  const free = Math.max(0, slots.total - slots.used);
  return tile("Capacity", ctx.href("workers", { sort: "-used" }), slots.total ? percent(share * 100) : "–", slots.total ? "used" : "", bar, split([["used", count(slots.used)], ["free", count(free)], ["slots", count(slots.total)]]));
}

function queue({ queue: { length, oldest_s } }, ctx) {
  const oldest = length && oldest_s !== null ? duration(Math.floor(oldest_s)) : "–";
  return tile("Queue", ctx.href("queue"), compact(length), "waiting", split([["oldest wait", oldest]]));
}

function throughput({ rates, totals }) {
  return tile("Steps", null, rate(rates.steps_per_s), "per s", split([["creates/s", rate(rates.creates_per_s)], ["resets/s", rate(rates.resets_per_s)], ["steps", compact(totals.steps)]]));
}

function errors({ rates, totals }, ctx) {
  const bad = rates.errors_per_s > 0 ? "bad" : undefined;
  const href = ctx.href("tasks", { state: "FAILURE" });
  return tile("Errors", href, rate(rates.errors_per_s), "per s", split([["failed creates", compact(totals.failed), totals.failed ? bad : undefined], ["lost", compact(totals.lost)], ["all", compact(totals.errors)]]));
}

function workers({ workers: fleet }, ctx) {
  const others = ["unhealthy", "draining", "dead"].map((state) => [state, count(fleet[state]), fleet[state] && state !== "draining" ? "bad" : undefined]);
  return tile("Workers", ctx.href("workers"), count(fleet.healthy), "healthy", split([...others, ["all", count(fleet.total)]]));
}
