// Calls of one master, and the clock it goes by.

const PATIENCE_MS = 10_000;

/** A call that did not bring what was asked for. `status` is 0 when nobody answered. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code The wire error's code; `unreachable` or `timeout` when nobody answered.
   * @param {string} message The server's own sentence where it sent one.
   */
  constructor(status, code, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** The master's clock, which is all that ages are measured by: the browser's may be wrong. */
class Clock {
  constructor() {
    this._offset_s = 0;
    this._best_s = Infinity;
  }

  /**
   * Takes the server's time from an answer.
   * @param {number} as_of Unix seconds.
   * @param {number} [took_s] How long the answer was on its way; the quickest ones are believed most.
   */
  observe(as_of, took_s = 1) {
    if (!Number.isFinite(as_of)) return;
    const offset = as_of - Date.now() / 1000;
    const jumped = Math.abs(offset - this._offset_s) > 2;
    if (took_s > this._best_s && !jumped) return;
    [this._offset_s, this._best_s] = [offset, took_s];
  }

  /** @returns {number} Unix seconds, as the master counts them. */
  now() {
    return Date.now() / 1000 + this._offset_s;
  }
}

/** Calls of one master. Paths are relative to it: `api/overview`, `envs/e1/screen`. */
export class Api {
  /**
   * @param {URL|string} root Where the dashboard itself is served, with a slash at the end.
   * @param {string} [base] The master's base below it, as `/api/masters` names it; empty for the only one.
   * @param {{onUnauthorized?: Function}} [hooks] Told of every 401.
   */
  constructor(root, base = "", { onUnauthorized } = {}) {
    const below = base.replace(/^\/+|\/+$/g, "");
    this.root = new URL(below ? `${below}/` : "", root);
    this.clock = new Clock();
    this._onUnauthorized = onUnauthorized ?? (() => {});
  }

  /**
   * The address of a path, for images, videos, downloads and WebSockets.
   * @param {string} path Without a leading slash; ids in it already encoded (`encodeURIComponent`).
   * @param {Object} [query] Empty and null values are left out; arrays repeat the key.
   * @returns {string}
   */
  url(path, query = {}) {
    const url = new URL(path.replace(/^\/+/, ""), this.root);
    for (const [name, value] of Object.entries(query)) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, String(each));
      }
    }
    return url.href;
  }

  /**
   * Asks for JSON.
   * @param {string} path
   * @param {Object} [query]
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   * @throws {ApiError}
   */
  async get(path, query = {}, { signal } = {}) {
    const began = performance.now();
    const reply = await this.raw(path, { query, signal });
    const body = await json(reply);
    if (body && typeof body.as_of === "number") this.clock.observe(body.as_of, (performance.now() - began) / 1000);
    return body;
  }

  /**
   * Acts. The header tells the master that its own page asks.
   * @param {string} path
   * @param {Object} [body]
   * @returns {Promise<any>} The JSON of the answer; null when it has none.
   * @throws {ApiError}
   */
  async post(path, body = {}) {
    const headers = { "Content-Type": "application/json", "X-Gym-Queue-Page": "1" };
    const reply = await this.raw(path, { method: "POST", headers, body: JSON.stringify(body) });
    return reply.status === 204 ? null : json(reply);
  }

  /**
   * Asks for anything; for bytes, streams and conditional requests.
   * @param {string} path
   * @param {{query?: Object, patience_ms?: number, signal?: AbortSignal} & RequestInit} [options] A `patience_ms`
   *   of 0 waits for ever. A 304 is an answer like any other.
   * @returns {Promise<Response>} Its status is below 400.
   * @throws {ApiError}
   */
  async raw(path, { query = {}, patience_ms = PATIENCE_MS, signal, ...init } = {}) {
    const limits = [signal, patience_ms ? AbortSignal.timeout(patience_ms) : null].filter(Boolean);
    let reply;
    try {
      reply = await fetch(this.url(path, query), { cache: "no-store", ...init, signal: AbortSignal.any(limits) });
    } catch (error) {
      throw unanswered(error, patience_ms);
    }
    if (reply.status < 400) return reply;
    const error = await refused(reply);
    if (error.status === 401) this._onUnauthorized(error);
    throw error;
  }
}

/** Whether an error only says that the caller itself gave up. */
export function isAborted(error) {
  return error?.name === "AbortError";
}

function unanswered(error, patience_ms) {
  if (isAborted(error)) return error;
  if (error.name === "TimeoutError") {
    return new ApiError(0, "timeout", `the master did not answer within ${patience_ms / 1000} s`);
  }
  return new ApiError(0, "unreachable", "the master does not answer: is it running, and is the network up?");
}

async function refused(reply) {
  let body = null;
  try {
    body = await reply.json();
  } catch {
    body = null; // a proxy's page, say: its status is all there is to tell
  }
  const message = typeof body?.error === "string" ? body.error : `the server answered ${reply.status}`;
  return new ApiError(reply.status, typeof body?.code === "string" ? body.code : "unknown", message);
}

async function json(reply) {
  try {
    return await reply.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw unanswered(error, PATIENCE_MS);
    throw new ApiError(reply.status, "bad_reply", "the answer is not JSON: is a proxy in the way?");
  }
}
