// Who waits for a slot, for what, and why nobody took it yet.

import { confirm, drawer } from "../dialog.js";
import { h } from "../dom.js";
import { count, cut, time } from "../format.js";
import { ListView } from "../list.js";
import { facts } from "../parts.js";

/** Shows the queue. */
export async function mount(root, ctx) {
  const cancel = (row) => cancelCreate(ctx, row, () => list.table.refresh());
  const list = new ListView(root, ctx, {
    title: "Queue", path: "api/queue", topic: "queue", sort: "position",
    keyOf: (row) => row.env_id, columns: columns(ctx, cancel), onOpen: (row) => showDetail(ctx, row, cancel),
    none: {
      nothing: "Nobody waits",
      hint: "Every create found a slot at once. One that does not stands here, with the reason.",
    },
  });
  return { update: (params) => list.update(params), unmount: () => list.destroy() };
}

function columns(ctx, cancel) {
  const listed = [
    { id: "position", label: "#", sort: "position", align: "end", width: "4rem", cell: (row) => count(row.position + 1) },
    { id: "env_id", label: "Environment", card: "title", width: "minmax(9rem, 1.2fr)", cell: (row) => h("span", { class: "mono" }, row.env_id) },
    { id: "waiting_s", label: "Waiting", sort: "waiting_s", down: true, align: "end", card: "badge", width: "8rem", cell: (row) => time(row.waiting_since, ctx.clock.now(), "for") },
    { id: "priority", label: "Priority", sort: "priority", down: true, align: "end", width: "6rem", cell: (row) => count(row.priority) },
    { id: "owner", label: "Owner", card: "meta", width: "minmax(6rem, .7fr)", cell: (row) => cut(row.owner, 60) },
    { id: "capability", label: "Capability", card: "meta", width: "minmax(7rem, 1fr)", cell: (row) => cut(row.capability, 80) },
    { id: "why", label: "Waiting for", card: "meta", width: "minmax(14rem, 2.4fr)", cell: (row) => waitsFor(row) },
  ];
  if (!ctx.me?.may_act) return listed;
  const button = (row) => h("button", { type: "button", class: "small", onclick: () => cancel(row) }, "Cancel");
  return [...listed, { id: "act", label: "", width: "6rem", align: "end", cell: button }];
}

function waitsFor(row) {
  const reasons = Object.entries(row.why_not ?? {});
  const first = reasons.length ? `${reasons[0][0]}: ${reasons[0][1]}` : "behind another that needs the same";
  const total = row.why_not_total ?? reasons.length;
  const more = total > 1 ? ` (and ${total - 1} more)` : "";
  const text = row.waiting_for ? `${cut(row.waiting_for, 100)} · ${first}` : first;
  return h("span", { title: cut(text + more, 1000) }, cut(text, 160) + more);
}

async function cancelCreate(ctx, row, then) {
  const sure = await confirm({
    title: "Cancel this create?", action: "Cancel the create", danger: true,
    text: `${row.env_id} leaves the queue, and whoever asked for it is told that it was closed.`,
  });
  if (!sure) return;
  try {
    await ctx.api.post(`envs/${encodeURIComponent(row.env_id)}/close`);
    ctx.notify(`${row.env_id} left the queue`, "good");
  } catch (error) {
    ctx.notify(error.message, "bad");
  }
  then();
}

function showDetail(ctx, row, cancel) {
  const { body, close } = drawer({ title: row.env_id, label: `Create ${row.env_id}` });
  const reasons = Object.entries(row.why_not ?? {});
  body.append(
    facts([
      ["Position", count(row.position + 1)], ["Priority", count(row.priority)],
      ["Waiting", time(row.waiting_since, ctx.clock.now(), "for")], ["Owner", row.owner],
      ["Capability", row.capability], ["Waiting for", row.waiting_for], ["Clients", row.clients],
    ]),
    h("h3", {}, "Why not placed"),
    reasons.length
      ? facts(reasons)
      : h("p", { class: "soft" }, "It waits behind another create that needs the same."),
    h("h3", {}, "Metadata"),
    h("pre", {}, JSON.stringify(row.metadata ?? {}, null, 2)),
  );
  if (!ctx.me?.may_act) return;
  const act = () => {
    close();
    cancel(row);
  };
  body.append(h("div", { class: "buttons" }, h("button", { type: "button", class: "danger", onclick: act }, "Cancel the create")));
}
