// What the broker holds: queues, how long they are, and who takes from them.

import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { badge, emptyState, errorState, skeleton } from "../notices.js";

const EVERY_MS = 3000;
const NAMED = 6;
const MOST = 200;
const NUMBERS = new Set(["Length", "Consumers", "Queues", "Waiting tasks", "Without a consumer"]);

/** Shows the broker. */
export async function mount(root, ctx) {
  const body = h("div", {}, skeleton(5));
  const filter = h("input", {
    type: "search", placeholder: "Filter queues", "aria-label": "Filter queues", "data-filter": true, spellcheck: "false",
    value: ctx.params.q ?? "",
    oninput: () => {
      ctx.setParams({ q: filter.value.trim() });
      show();
    },
  });
  const search = h("label", { class: "search" }, icon("search"), filter, h("kbd", { "aria-hidden": "true" }, "/"));
  fill(root, h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Broker")), h("div", { class: "bar" }, search), body);
  let broker = null;
  let shown = "";
  const show = () => {
    const text = JSON.stringify([{ ...broker, as_of: 0 }, ctx.params.q]);
    if (broker && text !== shown) fill(body, content(ctx, broker));
    shown = text;
  };
  const load = async () => {
    if (document.hidden) return;
    try {
      broker = await ctx.api.get("api/broker");
      show();
    } catch (error) {
      if (!broker) fill(body, errorState(error, load)); // else the banner says how old it is
    }
  };
  await load();
  const timer = setInterval(load, EVERY_MS);
  const update = ({ q }) => {
    filter.value = q ?? "";
    show();
  };
  return { update, unmount: () => clearInterval(timer) };
}

function content(ctx, broker) {
  const queues = broker.queues.filter(({ name }) => name.toLowerCase().includes((ctx.params.q ?? "").toLowerCase()));
  return [
    h("p", { class: "lead" }, badge(broker.ok ? "ok" : "error"), h("b", {}, broker.kind), h("span", { class: "mono soft" }, broker.url)),
    broker.ok ? null : down(broker.error),
    broker.queues.length ? [runnerTable(broker.queues), queueTable(ctx, queues, broker.queues.length)] : null,
    broker.ok && !broker.queues.length
      ? emptyState({ title: "No queue yet", text: "Each runner of a worker has one: they stand here once a worker has joined." })
      : null,
    broker.others?.length ? [h("h2", {}, "Other queues"), otherTable(broker.others)] : null,
  ];
}

function down(error) {
  return h("div", { class: "notice", role: "alert", dataset: { tone: "bad" } },
    h("p", { class: "notice-title" }, icon("bad"), " The broker does not answer"), h("p", {}, error),
    h("p", { class: "soft" }, "Environments that run go on; creates wait until it is back."));
}

function runnerTable(queues) {
  const by = Map.groupBy(queues, ({ runner }) => runner ?? "–");
  const row = ([runner, its]) => h("tr", {},
    h("th", { scope: "row" }, runner), h("td", { class: "end" }, count(its.length)),
    h("td", { class: "end" }, count(its.reduce((sum, { length }) => sum + (length ?? 0), 0))),
    h("td", { class: "end" }, count(its.filter(({ consumers: who }) => !who.length).length)));
  return [h("h2", {}, "By runner"), table("By runner", ["Runner", "Queues", "Waiting tasks", "Without a consumer"], [...by].map(row))];
}

// The longest first, then those from which nobody takes: the rest is found by the filter.
function queueTable(ctx, queues, all) {
  const rank = (queue) => (queue.length ?? 0) * 2 + (queue.consumers.length ? 0 : 1);
  const sorted = [...queues].sort((one, other) => rank(other) - rank(one)).slice(0, MOST);
  const row = (queue) => h("tr", {},
    h("th", { scope: "row", class: "mono" }, queue.name), h("td", {}, queue.runner ?? "–"),
    h("td", { class: "end" }, count(queue.length)), h("td", { class: "end" }, count(queue.consumers.length)),
    h("td", {}, consumers(ctx, queue.consumers)));
  const headings = ["Queue", "Runner", "Length", "Consumers", "Who takes from it"];
  const told = sorted.length < all ? `${count(sorted.length)} of ${count(all)}` : count(all);
  return [h("h2", {}, "Queues ", h("small", { class: "soft" }, told)), table("Queues of the workers", headings, sorted.map(row))];
}

function consumers(ctx, ids) {
  if (!ids.length) return h("span", { class: "none" }, "nobody: what is in it waits");
  const link = (id) => h("a", { class: "chip", href: ctx.href("workers", { q: id, open: id }) }, id);
  const more = ids.length > NAMED ? h("span", { class: "soft" }, `and ${count(ids.length - NAMED)} more`) : null;
  return h("span", { class: "chips" }, ids.slice(0, NAMED).map(link), more);
}

function otherTable(queues) {
  const row = (queue) => h("tr", {}, h("th", { scope: "row", class: "mono" }, queue.name), h("td", { class: "end" }, count(queue.length)));
  return table("Other queues", ["Queue", "Length"], queues.map(row));
}

function table(label, headings, rows) {
  const heading = (text) => h("th", { scope: "col", class: NUMBERS.has(text) ? "end" : "" }, text);
  return h("div", { class: "card table-box", tabindex: "0", role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, headings.map(heading))), h("tbody", {}, rows)));
}
