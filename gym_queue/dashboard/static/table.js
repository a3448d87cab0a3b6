// A table over a list call: only the rows in sight are in the document, so that 10,000 cost what 40 do.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { emptyState, errorState } from "./notices.js";
import { Rows } from "./rows.js";

const OVERSCAN = 8;
const SKELETONS = 8;
const PHONE = "(max-width: 44rem)";

/**
 * @typedef {Object} Column
 * @property {string} id
 * @property {string} label
 * @property {(row: Object) => Node|string|Array} cell
 * @property {string} [sort] The call's field to sort by; a column without one is not sorted by.
 * @property {boolean} [down] Whether the first click sorts the greatest first.
 * @property {"end"} [align] For numbers.
 * @property {string} [width] `7rem`, or `minmax(7rem, 1fr)` for one that grows; `minmax(6rem, 1fr)` unless given.
 * @property {"title"|"badge"|"meta"} [card] Where it stands when the row is a card on a phone; nowhere unless given.
 * @property {string} [hint] What the heading's title explains.
 */

/** A table over a list call. Put its `element` on the page. */
export class DataTable {
  /**
   * @param {Object} ctx The view's context (`api`, `live`).
   * @param {Object} options
   * @param {string} options.path The list call.
   * @param {string} options.topic The list's key in the stream's `changed`.
   * @param {string} options.label What the table is called to those who do not see it.
   * @param {Column[]} options.columns
   * @param {(row: Object) => string} options.keyOf
   * @param {(row: Object) => void} [options.onOpen] A click or Enter on a row.
   * @param {(sort: string) => void} [options.onSort]
   * @param {(table: DataTable) => Node} options.empty What to show in place of no rows.
   * @param {(table: DataTable) => void} [options.onRows] Called after each answer.
   * @param {number} [options.rowHeight] In pixels.
   * @param {number} [options.cardHeight] In pixels, on a phone.
   */
  constructor(ctx, options) {
    this._options = { rowHeight: 40, cardHeight: 76, ...options };
    this._shown = new Map();
    this._active = -1;
    this._sort = "";
    this._phone = matchMedia(PHONE);
    /** The rows it shows. */
    this.rows = new Rows(ctx.api, ctx.live, { ...options, onChange: () => this._changed() });
    this._build();
    this._onPhone = () => this._relayout();
    this._phone.addEventListener("change", this._onPhone);
    this._sizes = new ResizeObserver(() => this._render());
    this._sizes.observe(this._grid);
  }

  _build() {
    const { columns, label } = this._options;
    this._head = h("div", { class: "grid-row grid-head", role: "row", "aria-rowindex": "1" });
    this._sizer = h("div", { class: "grid-sizer", role: "rowgroup" });
    this._grid = h(
      "div",
      {
        class: "grid", role: "grid", tabindex: "0", "aria-label": label, "aria-colcount": columns.length,
        vars: tracks(columns),
        onscroll: () => this._render(), onkeydown: (event) => this._key(event), onclick: (event) => this._click(event),
      },
      h("div", { role: "rowgroup", class: "grid-heading" }, this._head),
      this._sizer,
    );
    this._notice = h("div", { class: "grid-notice" });
    /** The table's element. */
    this.element = h("div", { class: "grid-box" }, this._grid, this._notice);
    this._headings();
  }

  /**
   * Shows other rows.
   * @param {Object} query Filters, `q` and `sort` of the list call.
   */
  setQuery(query) {
    this._sort = query.sort ?? "";
    this._active = -1;
    this._headings();
    this._grid.scrollTop = 0;
    this._drop();
    this.rows.setQuery(query);
    this._changed();
  }

  /** Asks for the visible rows again. */
  refresh() {
    this.rows.refresh();
  }

  /** Moves the focus to the rows. */
  focus() {
    this._grid.focus();
  }

  /** Ends it. */
  destroy() {
    this.rows.destroy();
    this._sizes.disconnect();
    this._phone.removeEventListener("change", this._onPhone);
  }

  get _height() {
    return this._phone.matches ? this._options.cardHeight : this._options.rowHeight;
  }

  get _count() {
    return this.rows.loading ? SKELETONS : this.rows.matched;
  }

  _headings() {
    fill(this._head, this._options.columns.map((column) => this._heading(column)));
  }

  _heading(column) {
    const down = this._sort === `-${column.sort}`;
    const sorted = column.sort && (down || this._sort === column.sort);
    const props = { class: `cell ${column.align ?? ""}`, role: "columnheader", title: column.hint };
    if (!column.sort) return h("div", props, h("span", {}, column.label));
    props["aria-sort"] = sorted ? (down ? "descending" : "ascending") : "none";
    const next = sorted ? (down ? column.sort : `-${column.sort}`) : `${column.down ? "-" : ""}${column.sort}`;
    const mark = sorted ? icon(down ? "down" : "up") : null;
    return h("div", props, h("button", { type: "button", onclick: () => this._options.onSort?.(next) }, column.label, mark));
  }

  _changed() {
    const { rows } = this;
    const none = !rows.loading && rows.matched === 0;
    this._grid.hidden = none;
    this._grid.setAttribute("aria-rowcount", rows.loading ? -1 : rows.matched + 1);
    this._grid.setAttribute("aria-busy", String(rows.loading));
    this.element.classList.toggle("is-old", Boolean(rows.error) && !none);
    if (rows.error) fill(this._notice, errorState(rows.error, () => rows.refresh()));
    else fill(this._notice, none ? this._options.empty(this) : null);
    this._sizer.style.height = `${this._count * this._height}px`;
    this._render();
    this._options.onRows?.(this);
  }

  _relayout() {
    this._drop();
    this._changed();
  }

  _drop() {
    for (const shown of this._shown.values()) shown.element.remove();
    this._shown.clear();
  }

  _render() {
    if (this._grid.hidden) return this._drop();
    const top = this._grid.scrollTop;
    const first = Math.max(0, Math.floor(top / this._height) - OVERSCAN);
    const last = Math.min(this._count, Math.ceil((top + this._grid.clientHeight) / this._height) + OVERSCAN) - 1;
    for (const [index, shown] of this._shown) {
      if (index < first || index > last) {
        shown.element.remove();
        this._shown.delete(index);
      }
    }
    for (let index = first; index <= last; index += 1) this._show(index);
    if (!this.rows.loading && last >= first) this.rows.need(first, last);
  }

  _show(index) {
    const row = this.rows.loading ? undefined : this.rows.at(index);
    let shown = this._shown.get(index);
    if (!shown) {
      shown = { element: this._rowElement(index), row: null, key: null };
      this._shown.set(index, shown);
      this._insert(shown.element, index);
    }
    shown.element.setAttribute("aria-selected", String(index === this._active));
    if (shown.row === row && shown.key !== null) return;
    const key = row ? this._options.keyOf(row) : "";
    const cells = this._options.columns.map((column) => this._cell(column, row));
    if (shown.key === key) replaceChanged(shown.element, cells);
    else fill(shown.element, cells);
    Object.assign(shown, { row, key });
  }

  _rowElement(index) {
    const id = `${this._options.topic}-row-${index}`;
    const props = { class: "grid-row", role: "row", id, "aria-rowindex": index + 2, dataset: { index } };
    const element = h("div", props);
    element.style.transform = `translateY(${index * this._height}px)`;
    element.style.height = `${this._height}px`;
    return element;
  }

  // In the order of their indexes, which is the order in which they are read out and tabbed through.
  _insert(element, index) {
    const after = [...this._sizer.children].find((other) => Number(other.dataset.index) > index);
    this._sizer.insertBefore(element, after ?? null);
  }

  _cell(column, row) {
    const props = { class: `cell ${column.align ?? ""}`, role: "gridcell", dataset: { label: column.label } };
    if (column.card) props.dataset.card = column.card;
    return h("div", props, row ? column.cell(row) : h("span", { class: "skeleton" }));
  }

  _click(event) {
    if (event.target.closest("a, button, input, label") || String(getSelection()) !== "") return;
    const element = event.target.closest(".grid-row[data-index]");
    if (element) this._open(Number(element.dataset.index));
  }

  _open(index) {
    const row = this.rows.at(index);
    if (!row) return;
    this._activate(index);
    this._options.onOpen?.(row);
  }

  _key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button, a, input")) return;
    const page = Math.max(1, Math.floor(this._grid.clientHeight / this._height) - 2);
    const last = this.rows.matched - 1;
    const moves = {
      ArrowDown: this._active + 1, ArrowUp: this._active - 1, PageDown: this._active + page,
      PageUp: this._active - page, Home: 0, End: last,
    };
    if (event.key === "Enter") this._open(this._active);
    else if (event.key in moves) this._activate(Math.min(last, Math.max(0, moves[event.key])));
    else return;
    event.preventDefault();
  }

  _activate(index) {
    this._active = index;
    const above = index * this._height;
    const room = this._grid.clientHeight - this._head.offsetHeight - this._height;
    if (above < this._grid.scrollTop) this._grid.scrollTop = above;
    else if (above > this._grid.scrollTop + room) this._grid.scrollTop = above - room;
    this._render();
    this._grid.setAttribute("aria-activedescendant", `${this._options.topic}-row-${index}`);
  }
}

/**
 * Says that no row matches, or that there is none, with the next thing to do.
 * @param {DataTable} table
 * @param {{nothing: string, hint?: string|Node, command?: string, onClear: () => void}} options
 * @returns {Node}
 */
export function noRows(table, { nothing, hint, command, onClear }) {
  if (table.rows.total > 0) {
    const all = h("button", { type: "button", onclick: onClear }, "Show all");
    return emptyState({ title: "Nothing matches the filter", text: `${table.rows.total} are not shown.`, more: all });
  }
  return emptyState({ title: nothing, text: hint, command });
}

// The least width in sum, so that every row has the same tracks however wide the window is.
function tracks(columns) {
  const widths = columns.map((column) => column.width ?? "minmax(6rem, 1fr)");
  const least = widths.map((width) => Number(/[\d.]+/.exec(width)[0]));
  return { "--columns": widths.join(" "), "--width": `${least.reduce((sum, each) => sum + each, 0)}rem` };
}

function replaceChanged(element, cells) {
  cells.forEach((cell, at) => {
    if (!element.children[at].isEqualNode(cell)) element.children[at].replaceWith(cell);
  });
}
