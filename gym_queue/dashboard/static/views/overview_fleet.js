// The fleet as a map: one cell for each worker, its load by height and colour, its state by pattern.

import { fill, h, setText, throttle } from "../dom.js";
import { count, cut } from "../format.js";

const SOON_MS = 2000;
const EVERY_MS = 10_000;
const ROWS = { ArrowUp: -1, ArrowDown: 1 };
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** A cell for each worker; one is in the order of tabs, arrows go to the others. */
export class FleetMap {
  /** @param {Object} ctx */
  constructor(ctx) {
    this._ctx = ctx;
    this._cells = new Map();
    this._told = h("p", { class: "fleet-told soft" });
    this._map = h("div", {
      class: "fleet", role: "group", "aria-label": "Workers: arrows go from one to the next, Enter opens",
      onkeydown: (event) => this._key(event),
      onmouseover: (event) => this._tell(event.target), onfocusin: (event) => this._tell(event.target),
    });
    this._count = h("small", { class: "soft" });
    /** The map's element. */
    this.element = h(
      "section", { class: "card block", hidden: true, "aria-labelledby": "fleet-title" },
      h("div", { class: "fleet-head" }, h("h2", { id: "fleet-title" }, "Fleet ", this._count), legend()), this._map, this._told,
    );
    this._load = throttle(SOON_MS, () => this._loadNow());
    this._timer = setInterval(() => this._isOld() && this._load(), EVERY_MS);
    // Soon when a state changes, which the overview tells of; loads, which change all the time, now and then.
    let states;
    this._end = ctx.live.subscribe("overview", ({ workers }) => {
      if (JSON.stringify(workers) !== states) this._load();
      states = JSON.stringify(workers);
    });
    this._load();
  }

  /** Ends it. */
  destroy() {
    this._load.cancel();
    clearInterval(this._timer);
    this._end();
    this._ended = true;
  }

  _isOld() {
    return this._ctx.live.versions.workers !== this._version;
  }

  async _loadNow() {
    if (document.hidden || this._ended) return;
    this._version = this._ctx.live.versions.workers;
    try {
      this._show(await this._all());
    } catch (error) {
      setText(this._told, `The map is not brought up to date: ${error.message}`);
    }
  }

  async _all() {
    const { total, workers } = await this._ctx.api.get("api/fleet");
    this._total = total;
    const { used, slots, status, why } = workers;
    return workers.worker_id.map((id, at) => ({ worker_id: id, used: used[at], slots: slots[at], status: status[at], why: why[at] }));
  }

  _show(rows) {
    this.element.hidden = rows.length === 0;
    setText(this._count, this._total > rows.length ? `${count(rows.length)} of ${count(this._total)} workers` : `${count(rows.length)} workers`);
    const known = this._cells;
    this._cells = new Map(rows.map((row) => [row.worker_id, known.get(row.worker_id) ?? h("a", { tabindex: "-1" })]));
    rows.forEach((row) => this._paint(this._cells.get(row.worker_id), row));
    const same = known.size === rows.length && rows.every(({ worker_id }) => known.has(worker_id));
    if (!same) fill(this._map, [...this._cells.values()]);
    if (!this._map.querySelector("[tabindex='0']")) this._map.firstElementChild?.setAttribute("tabindex", "0");
  }

  _paint(cell, row) {
    const share = row.slots ? Math.min(1, row.used / row.slots) : 0;
    const text = `${row.worker_id}: ${row.status}, ${count(row.used)} of ${count(row.slots)} slots${row.why ? `; ${cut(row.why, 120)}` : ""}`;
    if (cell.getAttribute("aria-label") === text) return;
    cell.className = `cell-${row.status}`;
    cell.style.setProperty("--share", share);
    cell.setAttribute("aria-label", text);
    cell.setAttribute("href", this._ctx.href("workers", { open: row.worker_id }));
  }

  _tell(target) {
    const text = target.getAttribute?.("aria-label");
    if (target !== this._map && text) setText(this._told, text);
  }

  _key(event) {
    const cells = [...this._map.children];
    const at = cells.indexOf(document.activeElement);
    if (at < 0) return;
    const columns = cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length;
    const step = STEPS[event.key] ?? (ROWS[event.key] ?? 0) * columns;
    const next = cells[at + step];
    if (!step || !next) return;
    event.preventDefault();
    cells[at].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }
}

function legend() {
  const item = (state, share, text) => h("li", {}, h("i", { class: `cell-${state}`, vars: { "--share": share }, "aria-hidden": "true" }), text);
  return h("ul", { class: "legend" }, item("healthy", 0.15, "idle"), item("healthy", 1, "full"), item("draining", 0.5, "draining"), item("unhealthy", 0.5, "unhealthy"), item("dead", 0, "dead"));
}
