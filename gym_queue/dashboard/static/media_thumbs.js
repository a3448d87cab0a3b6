// Refreshes the thumbnails in sight: each every 2 s, a few at a time, none while the tab is hidden.

import { isAborted } from "./api.js";
import { hasBegun, look } from "./media_screen.js";

const PERIOD_MS = 2000;
const SPREAD_MS = 300;
const MOST_AT_ONCE = 4;
const LONGEST_RETRY_MS = 30_000;

/** Looks at many screens in turn. */
export class Thumbnails {
  /**
   * @param {import("./api.js").Api} api
   * @param {number} width In pixels.
   */
  constructor(api, width) {
    Object.assign(this, { _api: api, _width: width, _timer: 0, _busy: 0 });
    this._wanted = new Map();
    this._onVisibility = () => this._pump();
    document.addEventListener("visibilitychange", this._onVisibility);
  }

  /**
   * Looks at an environment from now on; what it sees before the first reset is of the kind none.
   * @param {string} envId
   * @param {{onSeen: (seen: Object) => void, onError: (error: Error) => void}} hooks
   */
  add(envId, hooks) {
    if (this._wanted.has(envId)) return;
    const abort = new AbortController();
    this._wanted.set(envId, {
      ...hooks,
      envId,
      abort,
      due: performance.now(),
      etag: null,
      failures: 0,
      busy: false,
      hasBegun: false,
    });
    this._later(0);
  }

  /** Looks at it no more. */
  remove(envId) {
    this._wanted.get(envId)?.abort.abort();
    this._wanted.delete(envId);
  }

  /** Ends it. */
  destroy() {
    document.removeEventListener("visibilitychange", this._onVisibility);
    clearTimeout(this._timer);
    for (const envId of [...this._wanted.keys()]) this.remove(envId);
  }

  _pump() {
    clearTimeout(this._timer);
    this._timer = 0;
    if (document.hidden) return;
    const waiting = [...this._wanted.values()].filter((each) => !each.busy).sort((a, b) => a.due - b.due);
    for (const each of waiting) {
      const wait_ms = each.due - performance.now();
      if (this._busy >= MOST_AT_ONCE) return; // whoever ends pumps again
      if (wait_ms > 0) return this._later(wait_ms);
      this._look(each);
    }
  }

  _later(ms) {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._pump(), ms);
  }

  async _look(each) {
    each.busy = true;
    this._busy += 1;
    const { signal } = each.abort;
    each.due = performance.now() + PERIOD_MS + SPREAD_MS * Math.random();
    try {
      each.hasBegun ||= await hasBegun(this._api, each.envId, signal);
      if (!each.hasBegun) return each.onSeen({ kind: "none" });
      const seen = await look(this._api, each.envId, { width: this._width, etag: each.etag, signal });
      if (!signal.aborted) this._take(each, seen);
      seen.bitmap?.close();
    } catch (error) {
      if (!signal.aborted && !isAborted(error)) this._fail(each, error);
    } finally {
      each.busy = false;
      this._busy -= 1;
      this._pump();
    }
  }

  _take(each, seen) {
    [each.etag, each.failures] = [seen.etag, 0];
    each.onSeen(seen);
  }

  _fail(each, error) {
    each.due = performance.now() + Math.min(PERIOD_MS * 2 ** each.failures, LONGEST_RETRY_MS);
    each.failures += 1;
    each.onError(error);
  }
}
