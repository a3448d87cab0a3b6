// Looks at an environment's screen: one look, and a loop of them that goes as fast as there is something new.

import { isAborted } from "./api.js";

const QUICKEST_MS = 100;
const SLOWEST_MS = 500;
const QUIET_LOOKS = 10;
const LONGEST_RETRY_MS = 5000;
const RATE_WINDOW_MS = 3000;
const GONE = new Set([404, 410]);

/** Whether an error says that the environment is over, so that asking again brings nothing. */
export const isGone = (error) => GONE.has(error?.status);

/**
 * Whether an environment has been reset, so that it has a screen. Asking for the screen itself would tell as well, by
 * an error, which browsers write to their console.
 * @param {import("./api.js").Api} api
 * @param {string} envId
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>}
 */
export async function hasBegun(api, envId, signal) {
  const { episode } = await api.get(`envs/${encodeURIComponent(envId)}/trajectory`, { limit: 1 }, { signal });
  return episode !== null;
}

/**
 * Looks at a screen once.
 * @param {import("./api.js").Api} api
 * @param {string} envId
 * @param {{width?: number, format?: "jpeg"|"png", etag?: string|null, signal?: AbortSignal}} [options]
 * @returns {Promise<Object>} `kind` same, text (`text`) or image (`bitmap`, to be closed by whoever asked, `screen`);
 *   with `etag` and `at`.
 * @throws {import("./api.js").ApiError}
 */
export async function look(api, envId, { width, format = "jpeg", etag, signal } = {}) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const path = `envs/${encodeURIComponent(envId)}/screen`;
  const reply = await api.raw(path, { query: { width, format }, headers, signal });
  if (reply.status === 304) return { kind: "same", etag };
  const seen = { etag: reply.headers.get("ETag"), at: Number(reply.headers.get("X-Frame-At")) || null };
  if (!(reply.headers.get("Content-Type") ?? "").startsWith("image/"))
    return { ...seen, kind: "text", text: await reply.text() };
  const bitmap = await createImageBitmap(await reply.blob());
  return {
    ...seen,
    kind: "image",
    bitmap,
    screen: sizeOf(reply.headers.get("X-Screen-Size")) ?? [bitmap.width, bitmap.height],
  };
}

function sizeOf(header) {
  const found = /^(\d+)x(\d+)$/.exec(header ?? "");
  return found && [Number(found[1]), Number(found[2])];
}

/** Looks again and again: ten times a second while the screen changes, twice while it does not, never while the
 *  tab is hidden or the loop is paused. */
export class LiveScreen {
  /**
   * @param {(etag: string|null, signal: AbortSignal) => Promise<Object>} look
   * @param {{onSeen: (seen: Object) => void, onError: (error: Error) => void, onEnd: (error: Error) => void}} hooks
   *   `onSeen` gets every look, `same` ones as well; after `onEnd` there is no further one.
   */
  constructor(look, { onSeen, onError, onEnd }) {
    Object.assign(this, { _look: look, _onSeen: onSeen, _onError: onError, _onEnd: onEnd });
    [this._etag, this._quiet, this._failures] = [null, 0, 0];
    this._frames = [];
    this._abort = new AbortController();
    this._wake = () => {};
    this._onVisibility = () => this._wake();
    /** Whether it waits to be resumed. */
    this.isPaused = false;
  }

  /** Whether the last look brought nothing. */
  get isFailing() {
    return this._failures > 0;
  }

  /** New pictures per second, over the last seconds. */
  get rate() {
    const now = performance.now();
    this._frames = this._frames.filter((at) => now - at < RATE_WINDOW_MS);
    return this._frames.length / (RATE_WINDOW_MS / 1000);
  }

  /** Looks until `stop`, or until the environment is gone. */
  async start() {
    document.addEventListener("visibilitychange", this._onVisibility);
    const { signal } = this._abort;
    while (!signal.aborted) {
      if (this.isPaused || document.hidden) await this._sleep(null);
      else await this._sleep(await this._turn(signal));
    }
  }

  /** Ends it. */
  stop() {
    document.removeEventListener("visibilitychange", this._onVisibility);
    this._abort.abort();
    this._wake();
  }

  /** @param {boolean} paused */
  setPaused(paused) {
    this.isPaused = paused;
    this._wake();
  }

  /** Something happened: looks at once, and quickly from now on. */
  hurry() {
    this._quiet = 0;
    if (this._failures === 0) this._wake();
  }

  /** Asks for the whole picture again, as when another size is wanted. */
  forget() {
    this._etag = null;
    this.hurry();
  }

  async _turn(signal) {
    const began = performance.now();
    try {
      const seen = await this._look(this._etag, signal);
      if (signal.aborted) seen.bitmap?.close();
      else this._take(seen);
    } catch (error) {
      if (!signal.aborted && !isAborted(error)) this._fail(error);
    }
    return Math.max(0, this._period() - (performance.now() - began));
  }

  _take(seen) {
    this._failures = 0;
    this._etag = seen.etag;
    this._quiet = seen.kind === "same" ? this._quiet + 1 : 0;
    if (seen.kind !== "same") this._frames.push(performance.now());
    this._onSeen(seen);
    seen.bitmap?.close();
  }

  _fail(error) {
    this._failures += 1;
    if (!isGone(error)) return this._onError(error);
    this.stop();
    this._onEnd(error);
  }

  _period() {
    if (this._failures) return Math.min(1000 * this._failures, LONGEST_RETRY_MS);
    const slower = Math.max(0, this._quiet - QUIET_LOOKS);
    return Math.min(SLOWEST_MS, QUICKEST_MS * 1.2 ** slower);
  }

  _sleep(ms) {
    return new Promise((resolve) => {
      const timer = ms === null ? 0 : setTimeout(resolve, ms);
      this._wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
