// The fleet at a glance: what it does, who waits, what is slow, what an operator must look at.

import { fill, h, renew } from "../dom.js";
import { count, duration, ms, time } from "../format.js";
import { icon } from "../icons.js";
import { emptyState, errorState, skeleton } from "../notices.js";
import { historyCharts } from "./overview_charts.js";
import { FleetMap } from "./overview_fleet.js";
import { mastersBeside } from "./overview_masters.js";
import { tiles } from "./overview_tiles.js";

const CALLS = [["create", "Create"], ["reset", "Reset"], ["step", "Step"]];
const URGENT = new Set(["broker_down", "worker_dead", "errors"]);

/** Shows the overview. */
export async function mount(root, ctx) {
  const parts = {
    head: h("p", { class: "soft counted" }), start: h("div"), tiles: h("div", { class: "tiles" }, skeleton(4)),
    attention: h("section", { class: "card attention", "aria-labelledby": "attention-title" }),
    latency: h("section", { class: "card", "aria-labelledby": "latency-title" }),
  };
  const fleet = new FleetMap(ctx);
  const charts = historyCharts(ctx);
  const beside = mastersBeside(ctx);
  fill(
    root,
    h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Overview"), parts.head),
    beside.element, parts.start, parts.tiles,
    h("div", { class: "columns" }, parts.attention, parts.latency),
    charts.element, fleet.element,
  );
  const show = (overview) => {
    showHead(parts.head, overview, ctx);
    fill(parts.start, overview.workers.total === 0 ? start(ctx) : null);
    tiles(parts.tiles, overview, ctx);
    showAttention(parts.attention, overview.attention ?? [], ctx);
    showLatency(parts.latency, overview);
  };
  const end = ctx.live.subscribe("overview", show);
  if (!ctx.live.overview) await first(ctx, parts.tiles, show);
  return {
    unmount: () => {
      end();
      for (const part of [fleet, charts, beside]) part.destroy();
    },
  };
}

// The stream brings the overview too; asked for at first so that a refusal has a sentence.
async function first(ctx, box, show) {
  try {
    show(await ctx.api.get("api/overview"));
  } catch (error) {
    if (!ctx.live.overview) fill(box, errorState(error, () => first(ctx, box, show)));
  }
}

function showHead(head, { started_at, version, broker }, ctx) {
  const kind = broker.kind === "embedded" ? "embedded broker" : `${broker.kind} broker`;
  const next = [`${version} · up `, time(started_at, ctx.clock.now(), "for"), ` · ${kind}`];
  fill(head, next);
}

function start(ctx) {
  const url = ctx.masters[Number(ctx.master)]?.url || ctx.api.root.href.replace(/\/$/, "");
  return emptyState({
    title: "No worker has joined yet", command: `gym-anything-worker --master-url ${url}`,
    text: "Start one on a machine that has a runner; it shows up here within a second:",
  });
}

function showAttention(section, list, ctx) {
  const item = (each) => {
    const tone = URGENT.has(each.kind) ? "bad" : "warn";
    return h("li", { dataset: { tone } }, icon(tone), entry(each, ctx));
  };
  const calm = h("p", { class: "calm" }, icon("ok"), "Nothing needs you.");
  const next = [
    h("h2", { id: "attention-title" }, "Needs attention", list.length ? h("span", { class: "nav-count" }, count(list.length)) : null),
    list.length ? h("ul", { tabindex: "0", "aria-labelledby": "attention-title" }, list.map(item)) : calm,
  ];
  renew(section, next);
}

// A link that leads anywhere but to a view of this page is none.
function entry({ text, link }, ctx) {
  const query = new URLSearchParams(typeof link === "string" ? link.slice(link.indexOf("?") + 1) : "");
  const { view, master: _master, ...params } = Object.fromEntries(query);
  return view ? h("a", { href: ctx.href(view, params) }, text) : h("span", {}, text);
}

function showLatency(section, { latency = {}, window_s }) {
  const cell = (value) => h("td", { class: "end" }, ms(value));
  const row = ([key, label]) => {
    const { count: calls = 0, p50_ms, p95_ms, p99_ms } = latency[key] ?? {};
    return h("tr", {}, h("th", { scope: "row" }, label), cell(p50_ms), cell(p95_ms), cell(p99_ms), h("td", { class: "end soft" }, count(calls)));
  };
  const heading = (text, at) => h("th", { scope: "col", class: at ? "end" : "" }, text);
  const over = window_s ? `over ${duration(window_s)}` : "since the start";
  renew(section, [
    h("h2", { id: "latency-title" }, "Latency ", h("small", { class: "soft" }, over)),
    h("table", { class: "latency" },
      h("thead", {}, h("tr", {}, ["Call", "p50", "p95", "p99", "Calls"].map(heading))), h("tbody", {}, CALLS.map(row))),
  ]);
}
