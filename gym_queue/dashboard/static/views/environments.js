// All environments as a wall of live thumbnails.

import { h, setText } from "../dom.js";
import { count } from "../format.js";
import { filterBar } from "../media_filter.js";
import { Wall } from "./environments_wall.js";

const STATES = [
  ["", "State: any"],
  ["ready", "ready"],
  ["creating", "creating"],
  ["queued", "queued"],
  ["closing", "closing"],
];
const SORTS = [
  ["", "Order: newest first"],
  ["since", "oldest first"],
  ["worker_id", "by worker"],
  ["env", "by environment"],
  ["owner", "by owner"],
];
const FIELDS = [
  { name: "q", label: "Filter environments", isMain: true },
  { name: "state", label: "State", options: STATES },
  { name: "worker", label: "Worker" },
  { name: "owner", label: "Owner" },
  { name: "sort", label: "Order", options: SORTS },
];
const NEWEST = "-since";

/** @returns {Promise<{update: Function, unmount: Function}>} */
export async function mount(root, ctx) {
  const sum = h("p", { class: "soft counted", role: "status" });
  const bar = filterBar(FIELDS, ctx.params, (changes) => {
    ctx.setParams(changes);
    bar.show(ctx.params);
    show();
  });
  const clear = () => {
    ctx.setParams(Object.fromEntries(FIELDS.map(({ name }) => [name, null])));
    bar.show({});
    show();
  };
  const wall = new Wall(ctx, {
    onClear: clear,
    onRows: ({ loading, matched, total }) => setText(sum, loading ? "" : sentence(matched, total)),
  });
  const show = () => wall.setQuery(queryOf(ctx.params));
  root.append(
    h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Environments"), sum),
    bar.element,
    wall.element,
  );
  show();
  return {
    update(params) {
      bar.show(params);
      show();
    },
    unmount: () => wall.destroy(),
  };
}

function queryOf({ q, state, worker, owner, sort }) {
  return { q, state, worker, owner, sort: sort || NEWEST };
}

function sentence(matched, total) {
  return matched === total ? `${count(total)}` : `${count(matched)} of ${count(total)}`;
}
