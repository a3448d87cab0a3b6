// One task in a drawer: its times, arguments, result, exception and traceback; revoke.

import { confirm, drawer } from "../dialog.js";
import { fill, h } from "../dom.js";
import { clock, count, duration, time } from "../format.js";
import { badge, errorState, skeleton } from "../notices.js";
import { facts, longText } from "../parts.js";

const OVER = new Set(["SUCCESS", "FAILURE", "REVOKED", "REJECTED"]);
const TEXTS = ["exception", "traceback", "args", "kwargs", "result"];

/**
 * Opens a task's drawer.
 * @param {Object} ctx
 * @param {string} taskId
 * @param {{onChange: () => void, onClose: () => void}} hooks
 * @returns {{close: () => void}}
 */
export function showTask(ctx, taskId, { onChange, onClose }) {
  let shown = null;
  let version;
  const panel = drawer({
    title: h("span", { class: "mono" }, taskId),
    label: `Task ${taskId}`,
    onClose: () => {
      end();
      onClose();
    },
  });
  const load = async () => {
    try {
      const task = await ctx.api.get(`api/tasks/${encodeURIComponent(taskId)}`);
      if (JSON.stringify({ ...task, as_of: 0 }) === shown) return; // a selection outlives an answer that says the same
      shown = JSON.stringify({ ...task, as_of: 0 });
      fill(panel.body, content(ctx, task, () => (load(), onChange())));
    } catch (error) {
      shown = null;
      fill(panel.body, errorState(error, load));
    }
  };
  const end = ctx.live.subscribe("changed", ({ tasks }) => {
    const over = shown && OVER.has(JSON.parse(shown).state);
    if (tasks === version || over || document.hidden) return;
    version = tasks;
    load();
  });
  fill(panel.body, skeleton(8));
  load();
  return { close: panel.close };
}

function content(ctx, task, changed) {
  const now = ctx.clock.now();
  const at = (value) => (value ? h("span", {}, clock(value), " · ", time(value, now)) : null);
  return [
    h("p", { class: "lead" }, badge(task.state)),
    facts([
      ["Name", task.name], ["Environment", environment(ctx, task)],
      ["Worker", task.worker ? h("a", { href: ctx.href("workers", { q: task.worker, open: task.worker }) }, task.worker) : null],
      ["Runner", task.runner], ["Queue", task.queue], ["Sent", at(task.sent)], ["Received", at(task.received)],
      ["Started", at(task.started)], ["Finished", at(task.finished)],
      ["Runtime", duration(task.runtime_s)], ["Retries", count(task.retries)],
    ]),
    TEXTS.map((name) => longText(titleOf(name), task[name], (task.cut ?? []).includes(name))),
    ctx.me?.may_act && !OVER.has(task.state)
      ? h("div", { class: "buttons" }, h("button", { type: "button", class: "danger", onclick: () => revoke(ctx, task, changed) }, "Revoke"))
      : null,
  ];
}

function titleOf(name) {
  return { args: "Arguments", kwargs: "Keyword arguments" }[name] ?? name[0].toUpperCase() + name.slice(1);
}

function environment(ctx, task) {
  if (!task.env_id) return null;
  return h("a", { class: "mono", href: ctx.href("environment", { env: task.env_id }) }, task.env_id);
}

async function revoke(ctx, task, changed) {
  const sure = await confirm({
    title: "Revoke this task?", action: "Revoke", danger: true,
    text: "The create is given up: whoever asked for the environment is told that it was closed.",
  });
  if (!sure) return;
  try {
    const { status } = await ctx.api.post(`api/tasks/${encodeURIComponent(task.task_id)}/revoke`);
    ctx.notify(status === "revoked" ? "The create is given up" : "The task runs no longer: nothing was revoked", "good");
  } catch (error) {
    ctx.notify(error.message, "bad");
  }
  changed();
}
