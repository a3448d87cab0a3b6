// The rows of a list call, page by page as they are needed, refetched when the list's version grows.

import { isAborted } from "./api.js";
import { throttle } from "./dom.js";

const PAGE = 100;
const REFETCH_MS = 1000;

/** Rows of one list call, known by their index in the whole filtered list. */
export class Rows {
  /**
   * @param {import("./api.js").Api} api
   * @param {import("./live.js").Live} live
   * @param {{path: string, topic: string, onChange: () => void}} options `topic` is the list's key in `changed`.
   */
  constructor(api, live, { path, topic, onChange }) {
    this._api = api;
    this._path = path;
    this._onChange = onChange;
    this._window = [0, PAGE - 1];
    this._hidden = false;
    this._refetch = throttle(REFETCH_MS, () => this._renew());
    this._clear({});
    let known = live.versions[topic];
    this._ends = [
      live.subscribe("changed", (versions) => {
        if (versions[topic] !== known) this._refetch();
        known = versions[topic];
      }),
      live.subscribe("state", (state) => state === "live" && (this.error || known === undefined) && this._refetch()),
    ];
    this._onVisibility = () => !document.hidden && this._missed && this._refetch();
    document.addEventListener("visibilitychange", this._onVisibility);
  }

  _clear(query) {
    this._abort?.abort();
    this._abort = new AbortController();
    this._pages = new Map();
    this._query = query;
    /** Whether nothing came yet. */
    this.loading = true;
    /** @type {import("./api.js").ApiError|null} Why the last call brought nothing. */
    this.error = null;
    /** How many rows there are, and how many of them match the filter. */
    this.total = 0;
    this.matched = 0;
    /** The whole last answer: what a call tells beside its rows. */
    this.reply = null;
  }

  /**
   * Starts anew with other filters or another order.
   * @param {Object} query
   */
  setQuery(query) {
    this._clear(query);
    this._window = [0, PAGE - 1];
    this._fetchWindow();
  }

  /** @returns {Object|undefined} The row at an index; undefined while it is not known. */
  at(index) {
    return this._pages.get(Math.floor(index / PAGE))?.rows[index % PAGE];
  }

  /** @returns {Object|undefined} The row for which a test holds, of those that are known. */
  find(test) {
    for (const page of this._pages.values()) {
      const row = page.rows.find(test);
      if (row) return row;
    }
    return undefined;
  }

  /** Tells which rows are looked at; what is missing of them is fetched. */
  need(first, last) {
    this._window = [first, last];
    this._fetchWindow();
  }

  /** Fetches what is looked at again. */
  refresh() {
    this._refetch();
  }

  /** Ends it. */
  destroy() {
    this._abort.abort();
    this._refetch.cancel();
    for (const end of this._ends) end();
    document.removeEventListener("visibilitychange", this._onVisibility);
  }

  _renew() {
    this._missed = document.hidden;
    if (this._missed) return;
    for (const page of this._pages.values()) page.old = true;
    this._fetchWindow();
  }

  _fetchWindow() {
    const [first, last] = this._window.map((index) => Math.floor(Math.max(0, index) / PAGE));
    for (let number = first; number <= last; number += 1) {
      const page = this._pages.get(number);
      if (page?.loading || (page && !page.old)) continue;
      if (number > 0 && !page && !this.loading && number * PAGE >= this.matched) continue;
      this._fetch(number);
    }
  }

  async _fetch(number) {
    const page = this._pages.get(number) ?? { rows: [], old: false };
    this._pages.set(number, page);
    [page.loading, page.old] = [true, false];
    const { signal } = this._abort;
    try {
      const query = { ...this._query, offset: number * PAGE, limit: PAGE };
      this._take(page, await this._api.get(this._path, query, { signal }));
    } catch (error) {
      if (signal.aborted || isAborted(error)) return;
      this._fail(number, page, error);
    }
    this._onChange();
    if (page.old) this._refetch();
  }

  _take(page, reply) {
    page.loading = false;
    page.rows = reply.rows;
    [this.loading, this.error, this.reply] = [false, null, reply];
    this.total = reply.total ?? reply.rows.length;
    this.matched = reply.matched ?? this.total;
    for (const number of this._pages.keys()) if (number > 0 && number * PAGE >= this.matched) this._pages.delete(number);
  }

  _fail(number, page, error) {
    page.loading = false;
    page.old = false;
    if (page.rows.length === 0) this._pages.delete(number);
    [this.loading, this.error] = [false, error];
  }
}
