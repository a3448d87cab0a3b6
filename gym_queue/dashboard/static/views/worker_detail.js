// One worker in a drawer: what it is, what it offers, why it is not healthy; drain and undrain.

import { confirm, drawer } from "../dialog.js";
import { fill, h, renew } from "../dom.js";
import { count, date, rate, time } from "../format.js";
import { badge, errorState, skeleton } from "../notices.js";
import { facts, meter, percentMeter } from "../parts.js";

/**
 * Opens a worker's drawer, and keeps it up to date.
 * @param {Object} ctx
 * @param {string} workerId
 * @param {{known?: Object, onChange: () => void, onClose: () => void}} options `known` is its row, when at hand.
 * @returns {{close: () => void}}
 */
export function showWorker(ctx, workerId, { known, onChange, onClose }) {
  const panel = drawer({
    title: workerId,
    label: `Worker ${workerId}`,
    onClose: () => {
      end();
      onClose();
    },
  });
  const changed = () => {
    load();
    onChange();
  };
  const load = async () => {
    try {
      const { rows } = await ctx.api.get("api/workers", { q: workerId, limit: 50 });
      const row = rows.find((each) => each.worker_id === workerId);
      show(row);
    } catch (error) {
      fill(panel.body, errorState(error, load));
    }
  };
  const show = (row) => renew(panel.body, row ? content(ctx, row, changed) : gone(workerId));
  const end = ctx.live.subscribe("changed", onceEach(1000, load));
  if (known) show(known);
  else {
    fill(panel.body, skeleton(6));
    load();
  }
  return { close: panel.close };
}

// The drawer is small: it follows at most once a second, and not while nobody looks.
function onceEach(ms, fn) {
  let last = performance.now();
  let version;
  return ({ workers }) => {
    if (workers === version || document.hidden || performance.now() - last < ms) return;
    [last, version] = [performance.now(), workers];
    fn();
  };
}

function gone(workerId) {
  return h("p", { class: "soft" }, `The master no longer knows ${workerId}: it left, or died a while ago.`);
}

function content(ctx, row, changed) {
  const { celery = {}, resources = {} } = row;
  const now = ctx.clock.now();
  return [
    h("p", { class: "lead" }, badge(row.status), row.why ? h("span", {}, row.why) : null),
    facts([
      ["Slots", meter(row.slots ? row.used / row.slots : 0, `${count(row.used)} of ${count(row.slots)}, ${count(row.starting)} starting`)],
      ["CPU", percentMeter(row.cpu_percent)], ["Memory", percentMeter(row.memory_percent)],
      ["Heartbeat", time(now - row.heartbeat_age_s, now)], ["Runners", (row.runners ?? []).join(", ")],
      ["Offers", offers(resources)], ["Host", row.hostname], ["URL", row.url], ["Version", row.version],
      ["Registered", h("span", {}, time(row.registered_at, now), ` (${date(row.registered_at)})`)],
      ["Requests", `${count(row.requests)}, ${count(row.errors)} of them errors`],
    ]),
    h("h3", {}, "Celery"),
    facts([
      ["Node", celery.online ? badge("online") : badge("offline")],
      ["Tasks", `${count(celery.active)} active, ${count(celery.processed)} processed`],
      ["Outcomes", `${count(celery.succeeded)} succeeded, ${count(celery.failed)} failed, ${count(celery.retried)} retried, ${count(celery.revoked)} revoked`],
      ["Load", celery.load ? celery.load.map(rate).join(", ") : null],
      ["Process", celery.pid ? `${celery.pid}${celery.software ? `, ${celery.software}` : ""}` : null],
      ["Last event", time(celery.last_event_at, now)],
    ]),
    h("p", { class: "links" },
      h("a", { href: ctx.href("environments", { worker: row.worker_id }) }, "Its environments"),
      h("a", { href: ctx.href("tasks", { worker: row.worker_id }) }, "Its tasks"),
      h("a", { href: ctx.href("episodes", { worker: row.worker_id }) }, "Its episodes")),
    ctx.me?.may_act && row.status !== "dead" ? h("div", { class: "buttons" }, drainButton(ctx, row, changed)) : null,
  ];
}

function offers({ cpu, mem_gb, gpu }) {
  const parts = [[cpu, "CPU"], [mem_gb, "GB"], [gpu, "GPU"]].filter(([value]) => value);
  return parts.map(([value, unit]) => `${count(value)} ${unit}`).join(", ");
}

function drainButton(ctx, row, changed) {
  const onclick = () => (row.draining ? undrain(ctx, row, changed) : drain(ctx, row, changed));
  return h("button", { type: "button", class: row.draining ? "primary" : "danger", onclick }, row.draining ? "Undrain" : "Drain");
}

async function drain(ctx, row, changed) {
  const sure = await confirm({
    title: `Drain ${row.worker_id}?`, action: "Drain", danger: true,
    text: `It gets no new environments. The ${count(row.used)} that run go on until they are closed.`,
  });
  if (sure) await act(ctx, "workers/drain", row, "drains now", changed);
}

async function undrain(ctx, row, changed) {
  const text = "It gets new environments again.";
  if (await confirm({ title: `Undrain ${row.worker_id}?`, action: "Undrain", text })) {
    await act(ctx, "workers/undrain", row, "takes environments again", changed);
  }
}

async function act(ctx, path, row, done, changed) {
  try {
    await ctx.api.post(path, { worker_id: row.worker_id });
    ctx.notify(`${row.worker_id} ${done}`, "good");
  } catch (error) {
    ctx.notify(error.message, "bad");
  }
  changed();
}
