// Every worker with what Flower tells of it and what the master knows; drain and undrain.

import { h } from "../dom.js";
import { count, cut, duration, rate, time } from "../format.js";
import { listWithDrawer } from "../list.js";
import { badge } from "../notices.js";
import { RUNNERS, meter, percentMeter } from "../parts.js";
import { showWorker } from "./worker_detail.js";

const STATUSES = ["healthy", "unhealthy", "draining", "dead"];

/** Shows the workers. */
export async function mount(root, ctx) {
  const options = {
    title: "Workers", path: "api/workers", topic: "workers", sort: "worker_id",
    choices: [{ name: "status", label: "Status", values: STATUSES }, { name: "runner", label: "Runner", values: RUNNERS }],
    keyOf: (row) => row.worker_id, columns: columns(ctx),
    none: {
      nothing: "No worker yet", hint: "Start one on a machine that has a runner; it stands here within a second:",
      command: `gym-anything-worker --master-url ${masterUrl(ctx)}`,
    },
  };
  return listWithDrawer(root, ctx, options, (workerId, list, hooks) => {
    const known = list.table.rows.find((row) => row.worker_id === workerId);
    return showWorker(ctx, workerId, { known, ...hooks });
  });
}

function columns(ctx) {
  const celery = (field, label, width, hint) => ({
    id: field, label, hint, width, sort: field, down: true, align: "end", cell: (row) => count(row.celery?.[field]),
  });
  const used = (field, label) => ({
    id: field, label, sort: field, down: true, width: "5.6rem", cell: (row) => percentMeter(row[field]),
  });
  return [
    { id: "worker_id", label: "Worker", sort: "worker_id", card: "title", width: "minmax(8rem, 1.6fr)", cell: name },
    { id: "status", label: "Status", sort: "status", card: "badge", width: "6.8rem", cell: (row) => badge(row.status, { title: row.why }) },
    { id: "used", label: "Slots", sort: "used", down: true, card: "meta", width: "5.8rem", cell: slots },
    { id: "runners", label: "Runners", card: "meta", width: "minmax(5.4rem, .6fr)", cell: runners },
    celery("active", "Active", "3.9rem", "Celery tasks it works on"), celery("processed", "Processed", "5.2rem"),
    celery("succeeded", "Succeeded", "5.4rem"), celery("failed", "Failed", "3.9rem"), celery("retried", "Retried", "4.2rem"),
    { id: "load", label: "Load", sort: "load", down: true, width: "6.8rem", align: "end", cell: load, hint: "Over 1, 5 and 15 minutes" },
    { ...used("cpu_percent", "CPU"), card: "meta" }, used("memory_percent", "Memory"),
    { id: "version", label: "Version", sort: "version", width: "4.2rem", cell: (row) => cut(row.version, 20) },
    { id: "heartbeat_age_s", label: "Heartbeat", sort: "heartbeat_age_s", down: true, align: "end", width: "5.6rem", cell: (row) => heartbeat(row, ctx) },
  ];
}

function runners(row) {
  const names = cut((row.runners ?? []).join(", "), 200);
  return h("span", { title: names }, names);
}

function name(row) {
  return h("span", { class: "two-lines" }, h("b", {}, row.worker_id), h("small", {}, row.why ? cut(row.why, 90) : cut(row.hostname, 60)));
}

function slots(row) {
  return meter(row.slots ? row.used / row.slots : 0, `${count(row.used)}/${count(row.slots)}`);
}

function load(row) {
  const loads = row.celery?.load;
  return loads ? loads.map((each) => rate(each)).join("  ") : "–";
}

function heartbeat(row, ctx) {
  // As it was when it was asked for: one that ticked would look older than it is between two answers.
  if (row.status === "healthy") return duration(row.heartbeat_age_s);
  return time(ctx.clock.now() - row.heartbeat_age_s, ctx.clock.now());
}

function masterUrl(ctx) {
  return ctx.masters[Number(ctx.master)]?.url || ctx.api.root.href.replace(/\/$/, "");
}
