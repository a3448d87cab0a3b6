// Every create as Celery tells of it: filter, sort, search, details, revoke.

import { fill, h } from "../dom.js";
import { count, cut, duration, time } from "../format.js";
import { listWithDrawer } from "../list.js";
import { badge } from "../notices.js";
import { RUNNERS } from "../parts.js";
import { showTask } from "./task_detail.js";

const HINT = "How many tasks reached this state: one that was received, started and succeeded counts in all three";
const STATES = ["SENT", "RECEIVED", "STARTED", "SUCCESS", "FAILURE", "RETRY", "REVOKED", "REJECTED"];

/** Shows the tasks. */
export async function mount(root, ctx) {
  const counts = h("ul", { class: "counts", "aria-label": "Since the master started" });
  const options = {
    title: "Tasks", path: "api/tasks", topic: "tasks", sort: "-received", above: [counts],
    choices: [
      { name: "state", label: "State", values: STATES }, { name: "runner", label: "Runner", values: RUNNERS },
      ...(ctx.params.worker ? [{ name: "worker", label: "Worker", values: [ctx.params.worker] }] : []),
    ],
    keyOf: (row) => row.task_id, columns: columns(ctx),
    onReply: (reply) => showCounts(counts, reply?.counts),
    none: {
      nothing: "No task since the master started", hint: "Each create that goes by Celery stands here. Try one:",
      command: "gym-anything run terminal_env --remote-url URL",
    },
  };
  return listWithDrawer(root, ctx, options, (taskId, _list, hooks) => showTask(ctx, taskId, hooks));
}

function columns(ctx) {
  const at = (field, label) => ({
    id: field, label, sort: field, down: true, align: "end", width: "7rem", cell: (row) => time(row[field], ctx.clock.now()),
  });
  return [
    { id: "task_id", label: "Task", card: "title", width: "minmax(9rem, 1fr)", cell: (row) => h("span", { class: "mono", title: row.task_id }, cut(row.task_id, 40)) },
    { id: "state", label: "State", sort: "state", card: "badge", width: "7.5rem", cell: (row) => badge(row.state) },
    { id: "worker", label: "Worker", sort: "worker", card: "meta", width: "minmax(8rem, .9fr)", cell: (row) => cut(row.worker, 60) },
    { id: "runner", label: "Runner", sort: "runner", card: "meta", width: "6rem", cell: (row) => cut(row.runner, 20) },
    at("received", "Received"), at("started", "Started"),
    { id: "runtime_s", label: "Runtime", sort: "runtime_s", down: true, align: "end", card: "meta", width: "6.5rem", cell: (row) => duration(row.runtime_s) },
    { id: "args", label: "Arguments", width: "minmax(10rem, 1.4fr)", cell: (row) => h("span", { class: "mono soft" }, cut(row.args, 120)) },
    { id: "result", label: "Result or exception", card: "meta", width: "minmax(12rem, 1.8fr)", cell: outcome },
  ];
}

function outcome(row) {
  if (row.exception) return h("span", { class: "mono bad", title: cut(row.exception, 400) }, cut(row.exception, 140));
  return h("span", { class: "mono soft" }, cut(row.result, 140));
}

function showCounts(list, counts) {
  const known = STATES.filter((state) => counts?.[state]);
  const next = known.map((state) => h("li", {}, h("b", {}, count(counts[state])), " ", badge(state, { title: HINT })));
  if (next.map((each) => each.textContent).join("") === list.dataset.shown) return;
  list.dataset.shown = next.map((each) => each.textContent).join("");
  fill(list, next.length ? h("li", { class: "soft", title: HINT }, "Since the master started:") : null, next);
}
