// Several masters side by side, where the dashboard shows more than one.

import { fill, h } from "../dom.js";
import { compact, count, duration, percent, rate } from "../format.js";
import { badge } from "../notices.js";

const EVERY_MS = 2000;

/**
 * Makes the cards of all masters; nothing where there is one.
 * @param {Object} ctx
 * @returns {{element: HTMLElement|null, destroy: () => void}}
 */
export function mastersBeside(ctx) {
  if (ctx.masters.length < 2) return { element: null, destroy: () => {} };
  const cards = ctx.masters.map((master, at) => card(ctx, master, at));
  const end = ctx.live.subscribe("overview", (overview) => cards[Number(ctx.master)]?.show(overview));
  const others = cards.filter((_, at) => String(at) !== ctx.master);
  const poll = () => document.hidden || others.forEach((each) => each.poll());
  poll();
  const timer = setInterval(poll, EVERY_MS);
  const destroy = () => {
    clearInterval(timer);
    end();
  };
  const element = h("section", { "aria-label": "Masters" }, h("ul", { class: "masters" }, cards.map((each) => each.element)));
  return { element, destroy };
}

function card(ctx, master, at) {
  const api = ctx.apiOf(master.base);
  const selected = String(at) === ctx.master;
  const body = h("div", { class: "soft" }, "asking …");
  const href = at === 0 ? "?view=overview" : `?view=overview&master=${at}`;
  const name = h("a", { href, "aria-current": selected ? "true" : null }, master.name);
  const element = h("li", { class: `card${selected ? " is-selected" : ""}` }, h("h2", {}, name), body);
  let asking = false;
  const show = (overview) => fill(body, summary(overview));
  const poll = async () => {
    if (asking) return;
    asking = true;
    try {
      show(await api.get("api/overview"));
    } catch (error) {
      fill(body, badge("disconnected", { tone: "bad" }), h("p", {}, error.message));
    }
    asking = false;
  };
  return { element, show, poll };
}

function summary({ workers, slots, envs, queue, rates, broker }) {
  const used = slots.total ? `${percent((100 * slots.used) / slots.total)} of ${compact(slots.total)} slots` : "no slots";
  const waiting = queue.length ? `${count(queue.length)} waiting, oldest ${duration(Math.floor(queue.oldest_s ?? 0))}` : "nobody waits";
  const sick = workers.unhealthy + workers.dead;
  return [
    h("p", {}, badge(broker.ok ? "ok" : "broker down", { tone: broker.ok ? "good" : "bad" }), sick ? badge(`${sick} sick`, { tone: "warn" }) : null),
    h("p", {}, `${compact(envs.ready)} environments · ${used}`), h("p", {}, `${waiting} · ${rate(rates.steps_per_s)} steps/s`),
  ];
}
