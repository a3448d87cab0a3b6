// The wall itself: rows of cards, of which only those in sight are in the document and refreshed.

import { fill, h } from "../dom.js";
import { emptyState, errorState } from "../notices.js";
import { Rows } from "../rows.js";
import { Thumbnails } from "../media_thumbs.js";
import { Card } from "./environments_card.js";

const THUMB_PX = 320;
const CARD_PX = 264;
const GAP_PX = 16;
const TEXT_PX = 92;
const SHAPE = 9 / 16;
const OVERSCAN_ROWS = 1;
const WAITING_CARDS = 12;

/** A wall over the list of environments. Put its `element` on the page. */
export class Wall {
  /**
   * @param {Object} ctx The view's context.
   * @param {{onClear: () => void, onRows: (rows: Rows) => void}} hooks
   */
  constructor(ctx, { onClear, onRows }) {
    Object.assign(this, { _ctx: ctx, _onClear: onClear, _onRows: onRows, _cards: new Map(), _pending: 0 });
    this._thumbs = new Thumbnails(ctx.api, THUMB_PX);
    this._rows = new Rows(ctx.api, ctx.live, { path: "api/envs", topic: "envs", onChange: () => this._changed() });
    this._board = h("div", { class: "wall", role: "list", "aria-label": "Environments" });
    this._notice = h("div", {});
    /** The wall's element. */
    this.element = h("div", {}, this._notice, this._board);
    this._soon = () => (this._pending ||= requestAnimationFrame(() => this._render()));
    this._sizes = new ResizeObserver(this._soon);
    this._sizes.observe(this.element);
    document.addEventListener("scroll", this._soon, { capture: true, passive: true }); // whatever it is that scrolls
    addEventListener("resize", this._soon);
  }

  /** Shows other environments. */
  setQuery(query) {
    this._dropAll();
    this._rows.setQuery(query);
    this._changed();
  }

  /** Ends it. */
  destroy() {
    cancelAnimationFrame(this._pending);
    document.removeEventListener("scroll", this._soon, { capture: true });
    removeEventListener("resize", this._soon);
    this._sizes.disconnect();
    this._thumbs.destroy();
    this._rows.destroy();
  }

  get _count() {
    return this._rows.loading ? WAITING_CARDS : this._rows.matched;
  }

  _changed() {
    const rows = this._rows;
    const none = !rows.loading && rows.matched === 0;
    if (rows.error)
      fill(
        this._notice,
        errorState(rows.error, () => rows.refresh()),
      );
    else fill(this._notice, none ? this._nothing() : null);
    this._board.hidden = none;
    this._board.setAttribute("aria-busy", String(rows.loading));
    this._render();
    this._onRows(rows);
  }

  _nothing() {
    if (this._rows.total > 0) {
      const all = h("button", { type: "button", onclick: this._onClear }, "Show all");
      return emptyState({ title: "Nothing matches the filter", text: `${this._rows.total} are not shown.`, more: all });
    }
    return emptyState({
      title: "No environment yet",
      text: "An environment shows here as soon as a client asks this master for one. To see one now:",
      command: `gym-anything run terminal_env --remote-url ${this._ctx.api.root.href.replace(/\/$/, "")}`,
    });
  }

  _layout() {
    const width = this.element.clientWidth;
    const columns = Math.max(1, Math.floor((width + GAP_PX) / (CARD_PX + GAP_PX)));
    const cardWidth = (width - GAP_PX * (columns - 1)) / columns;
    const thumbHeight = Math.round(cardWidth * SHAPE);
    return { columns, cardWidth, thumbHeight, rowHeight: thumbHeight + TEXT_PX + GAP_PX };
  }

  _render() {
    this._pending = 0;
    if (this._board.hidden || !this.element.clientWidth) return this._dropAll();
    const layout = this._layout();
    const count = this._count;
    this._board.style.height = `${Math.ceil(count / layout.columns) * layout.rowHeight}px`;
    const above = -this._board.getBoundingClientRect().top;
    const firstRow = Math.max(0, Math.floor(above / layout.rowHeight) - OVERSCAN_ROWS);
    const lastRow = Math.floor((above + innerHeight) / layout.rowHeight) + OVERSCAN_ROWS;
    const [first, last] = [firstRow * layout.columns, Math.min(count, (lastRow + 1) * layout.columns) - 1];
    this._show(first, last, layout);
    if (!this._rows.loading && last >= first) this._rows.need(first, last);
  }

  _show(first, last, layout) {
    const wanted = new Map();
    for (let index = first; index <= last; index += 1) {
      const row = this._rows.loading ? undefined : this._rows.at(index);
      wanted.set(row?.env_id ?? `?${index}`, { row, index });
    }
    for (const [key, card] of this._cards) if (!wanted.has(key)) this._drop(key, card);
    let at = this._board.firstElementChild;
    for (const [key, { row, index }] of wanted) {
      const card = this._cards.get(key) ?? this._add(key);
      card.show(row, this._ctx.clock.now());
      place(card.element, index, layout, this._count);
      if (card.element === at) at = at.nextElementSibling;
      else this._board.insertBefore(card.element, at);
    }
  }

  _add(key) {
    const card = new Card(this._ctx, this._thumbs);
    this._cards.set(key, card);
    return card;
  }

  _drop(key, card) {
    card.destroy();
    this._cards.delete(key);
  }

  _dropAll() {
    for (const [key, card] of this._cards) this._drop(key, card);
  }
}

function place(element, index, { columns, cardWidth, thumbHeight, rowHeight }, count) {
  const [row, column] = [Math.floor(index / columns), index % columns];
  element.style.width = `${cardWidth}px`;
  element.style.setProperty("--thumb-height", `${thumbHeight}px`);
  element.style.transform = `translate(${column * (cardWidth + GAP_PX)}px, ${row * rowHeight}px)`;
  element.setAttribute("aria-posinset", index + 1);
  element.setAttribute("aria-setsize", count);
}
