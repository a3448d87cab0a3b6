// The master's event stream: server-sent events, read so that comments count as signs of life, a refusal can be
// told from silence, and a new connection resumes where the last one ended.

import { isAborted } from "./api.js";

const SILENCE_MS = 25_000;
const HIDDEN_MS = 5_000;
const LONGEST_WAIT_MS = 5_000;

/**
 * @typedef {"connecting"|"live"|"stale"|"disconnected"|"unauthorized"} LiveState
 * `stale`: connected, but nothing came for 25 s. `disconnected`: no connection; it goes on trying.
 */

/** What one master tells of its changes. Topics: `overview`, `changed` and `state`. */
export class Live {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this._api = api;
    this._topics = new Map();
    this._lastId = null;
    this._retry_ms = 1000;
    this._abort = null;
    this._timers = {};
    this._retries = 0;
    this._running = false;
    this._paused = false;
    this._onVisibility = () => this._visibility();
    /** @type {LiveState} */
    this.state = "connecting";
    /** Unix seconds by the master's clock at which the state began. */
    this.since = api.clock.now();
    /** Unix seconds by the master's clock of the last sign of life; null before the first. */
    this.lastHeard = null;
    /** The last overview; null before the first. */
    this.overview = null;
    /** The last version of each list. */
    this.versions = {};
    /** The server's sentence about a refused connection. */
    this.error = null;
  }

  /**
   * Calls a function for each event of a topic, and at once with what is already known.
   * @param {"overview"|"changed"|"state"} topic
   * @param {Function} fn Given the overview, the versions, or the state.
   * @returns {() => void} Ends the subscription.
   */
  subscribe(topic, fn) {
    if (!this._topics.has(topic)) this._topics.set(topic, new Set());
    this._topics.get(topic).add(fn);
    if (topic === "overview" && this.overview) fn(this.overview);
    if (topic === "state") fn(this.state);
    return () => this._topics.get(topic).delete(fn);
  }

  /** Connects, and goes on until `stop`. */
  start() {
    if (this._running) return;
    this._running = true;
    document.addEventListener("visibilitychange", this._onVisibility);
    this._connect();
  }

  /** Disconnects for good. */
  stop() {
    this._running = false;
    document.removeEventListener("visibilitychange", this._onVisibility);
    for (const timer of Object.values(this._timers)) clearTimeout(timer);
    this._abort?.abort();
  }

  /** Connects now instead of at the next try. */
  retry() {
    if (this._running) this._connect();
  }

  async _connect() {
    clearTimeout(this._timers.again);
    this._abort?.abort();
    const abort = (this._abort = new AbortController());
    this._expect();
    try {
      await this._read(abort.signal);
      if (abort === this._abort) this._lost(null);
    } catch (error) {
      if (abort === this._abort && !isAborted(error)) this._lost(error);
    }
  }

  async _read(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this._lastId) headers["Last-Event-ID"] = this._lastId;
    const reply = await this._api.raw("api/live", { headers, signal, patience_ms: 0 });
    this._retries = 0;
    const events = new EventParser((event) => this._take(event));
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (signal.aborted) return;
      this._heard();
      events.feed(part.value);
    }
  }

  _take({ name, data, id, retry_ms }) {
    if (id) this._lastId = id;
    if (retry_ms) this._retry_ms = retry_ms;
    if (data === "") return;
    const body = JSON.parse(data);
    if (name === "overview") {
      this.overview = body;
      this._api.clock.observe(body.as_of);
    }
    if (name === "changed") this.versions = body;
    this._tell(name, body);
  }

  _tell(topic, value) {
    for (const fn of [...(this._topics.get(topic) ?? [])]) {
      try {
        fn(value);
      } catch (error) {
        console.error(`a view cannot take ${topic}:`, error); // one broken view must not silence the others
      }
    }
  }

  _become(state, error = null) {
    this.error = error;
    if (state === this.state) return;
    this.state = state;
    this.since = this._api.clock.now();
    this._tell("state", state);
  }

  _heard() {
    this.lastHeard = this._api.clock.now();
    this._become("live");
    this._expect();
  }

  _expect() {
    clearTimeout(this._timers.silence);
    this._timers.silence = setTimeout(() => this._silent(), SILENCE_MS);
  }

  // A connection that says nothing may hang for ever: it is given up, and the next one resumes.
  _silent() {
    this._become(this.state === "live" || this.state === "stale" ? "stale" : "disconnected");
    this._connect();
  }

  _lost(error) {
    clearTimeout(this._timers.silence);
    if (!this._running) return;
    if (error?.status === 401) return this._become("unauthorized", error);
    this._become("disconnected", error);
    this._retries += 1;
    const wait_ms = Math.min(this._retry_ms * this._retries, LONGEST_WAIT_MS);
    this._timers.again = setTimeout(() => this._connect(), wait_ms);
  }

  // A hidden tab holds no connection: browsers allow six per server, and a master need not serve who does not look.
  _visibility() {
    clearTimeout(this._timers.hidden);
    if (document.hidden) this._timers.hidden = setTimeout(() => this._pause(), HIDDEN_MS);
    else if (this._paused) this._resume();
  }

  _pause() {
    this._paused = true;
    for (const timer of Object.values(this._timers)) clearTimeout(timer);
    this._abort?.abort();
  }

  _resume() {
    this._paused = false;
    this._connect();
  }
}

/** Cuts a text/event-stream into events (WHATWG HTML, 9.2.6). */
class EventParser {
  /** @param {(event: {name: string, data: string, id: string|null, retry_ms: number|null}) => void} onEvent */
  constructor(onEvent) {
    this._onEvent = onEvent;
    this._rest = "";
    this._clear();
  }

  /** Takes the next part of the stream, cut anywhere. */
  feed(text) {
    const lines = (this._rest + text).split(/\r\n|\n|\r(?!$)/);
    this._rest = lines.pop();
    for (const line of lines) this._line(line);
  }

  _line(line) {
    if (line === "") return this._dispatch();
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (field === "event") this._name = value;
    else if (field === "data") this._data.push(value);
    else if (field === "id") this._id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this._retry_ms = Number(value);
  }

  _dispatch() {
    const event = { name: this._name, data: this._data.join("\n"), id: this._id, retry_ms: this._retry_ms };
    this._clear();
    if (event.data !== "" || event.id || event.retry_ms) this._onEvent(event);
  }

  _clear() {
    this._name = "message";
    this._data = [];
    this._id = null;
    this._retry_ms = null;
  }
}
