// A view of one list: a heading, filters, and a table; the address holds filters and order.

import { debounce, fill, h, setText } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { DataTable, noRows } from "./table.js";

const TYPING_MS = 200;

/**
 * @typedef {Object} Choice A filter by one of several values.
 * @property {string} name The call's parameter, and the address's.
 * @property {string} label
 * @property {string[]} values
 */

/** A view of one list call. */
export class ListView {
  /**
   * @param {HTMLElement} root
   * @param {Object} ctx
   * @param {Object} options What `DataTable` takes, and:
   * @param {string} options.title
   * @param {Choice[]} [options.choices]
   * @param {string} [options.sort] The order unless the address names another.
   * @param {Node[]} [options.above] What stands between the heading and the filters.
   * @param {{nothing: string, hint?: string|Node, command?: string}} options.none What to say when there is no row.
   * @param {(row: Object) => void} [options.onOpen]
   */
  constructor(root, ctx, options) {
    this._ctx = ctx;
    this._options = options;
    this._typed = debounce(TYPING_MS, () => this._set({ q: this._filter.value.trim() }));
    this._counted = h("p", { class: "soft counted", role: "status" });
    /** @type {DataTable} */
    this.table = new DataTable(ctx, {
      ...options,
      label: options.title,
      onSort: (sort) => this._set({ sort: sort === options.sort ? "" : sort }),
      onRows: (table) => this._told(table),
      empty: (table) => noRows(table, { ...options.none, onClear: () => this._clear() }),
    });
    fill(
      root,
      h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, options.title), this._counted),
      options.above ?? null,
      this._bar(),
      this.table.element,
    );
    root.classList.add("fills");
    this.update(ctx.params);
  }

  /** Shows what the address names. */
  update(params) {
    if (document.activeElement !== this._filter) this._filter.value = params.q ?? "";
    for (const { choice, select } of this._selects) this._select(choice, select, params[choice.name] ?? "");
    const names = this._selects.map(({ choice }) => choice.name);
    const filters = Object.fromEntries(["q", ...names].map((name) => [name, params[name]]));
    this.table.setQuery({ ...filters, sort: params.sort ?? this._options.sort });
  }

  /** Ends it. */
  destroy() {
    this._typed.cancel();
    this.table.destroy();
  }

  _bar() {
    this._filter = h("input", {
      type: "search", placeholder: "Filter", "aria-label": `Filter ${this._options.title.toLowerCase()}`,
      "data-filter": true, oninput: this._typed, onkeydown: (event) => this._escape(event), spellcheck: "false",
    });
    this._selects = (this._options.choices ?? []).map((choice) => {
      const onchange = (event) => this._set({ [choice.name]: event.target.value });
      return { choice, select: h("select", { "aria-label": choice.label, onchange }) };
    });
    const search = h("label", { class: "search" }, icon("search"), this._filter, h("kbd", { "aria-hidden": "true" }, "/"));
    return h("div", { class: "bar" }, search, this._selects.map(({ select }) => select));
  }

  // A value that the address names stays offered, though the list may not know it.
  _select(choice, select, value) {
    const values = value && !choice.values.includes(value) ? [...choice.values, value] : choice.values;
    const option = (each) => h("option", { value: each, selected: each === value }, each.toLowerCase());
    fill(select, h("option", { value: "" }, `${choice.label}: any`), values.map(option));
    select.value = value;
    select.classList.toggle("is-set", value !== "");
  }

  _escape(event) {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    event.preventDefault();
    if (event.key === "Enter") return this.table.focus();
    if (this._filter.value === "") return this._filter.blur();
    this._filter.value = "";
    this._set({ q: "" });
  }

  _set(changes) {
    this._ctx.setParams(changes);
    this.update(this._ctx.params);
  }

  _clear() {
    const names = this._selects.map(({ choice }) => choice.name);
    this._filter.value = "";
    this._set(Object.fromEntries(["q", ...names].map((name) => [name, ""])));
  }

  _told({ rows }) {
    const all = rows.matched === rows.total;
    const unknown = rows.loading || (rows.error && !rows.total);
    setText(this._counted, unknown ? "" : all ? count(rows.total) : `${count(rows.matched)} of ${count(rows.total)}`);
    this._options.onReply?.(rows.reply);
  }
}

/**
 * A list whose rows open a drawer, which the address remembers as `open`.
 * @param {HTMLElement} root
 * @param {Object} ctx
 * @param {Object} options What `ListView` takes, without `onOpen`.
 * @param {(key: string, list: ListView, hooks: {onChange: () => void, onClose: () => void}) => {close: () => void}} show
 *   Opens the drawer of the row with this key.
 * @returns {{update: (params: Object) => void, unmount: () => void}} The view.
 */
export function listWithDrawer(root, ctx, options, show) {
  const list = new ListView(root, ctx, { ...options, onOpen: (row) => open(options.keyOf(row)) });
  let detail = null;
  function open(key) {
    ctx.setParams({ open: key });
    detail = show(key, list, {
      onChange: () => list.table.refresh(),
      onClose: () => {
        detail = null;
        ctx.setParams({ open: null });
      },
    });
  }
  if (ctx.params.open) open(ctx.params.open);
  return {
    update: (params) => list.update(params),
    unmount: () => {
      list.destroy();
      detail?.close();
    },
  };
}
