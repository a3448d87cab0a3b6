// What an environment does, as it does it: its running episode's trajectory joined with its calls.

import { isAborted } from "./api.js";
import { isGone } from "./media_screen.js";
import { actionsOf } from "./media_actions.js";

const PERIOD_MS = 1000;
const LONGEST_RETRY_MS = 5000;
const PAGE = 500;
const MOST_EVENTS = 5000;
const MOST_CALLS = 500;

/** Asks for new events and calls each second while the tab is in sight. */
export class Feed {
  /**
   * @param {import("./api.js").Api} api
   * @param {string} envId
   * @param {{onChange: (feed: Feed) => void, onEnd: (error: Error) => void}} hooks
   */
  constructor(api, envId, { onChange, onEnd }) {
    Object.assign(this, { _api: api, _path: `envs/${encodeURIComponent(envId)}`, _onChange: onChange, _onEnd: onEnd });
    this._abort = new AbortController();
    this._next = { trajectory: null, calls: null };
    /** Whether anything is known. */
    this.hasAnswered = false;
    /** The running episode's name; null before the first reset. */
    this.episode = null;
    /** Its trajectory's events, oldest first. */
    this.events = [];
    /** The last calls, oldest first. */
    this.calls = [];
    /** Why the last look failed. */
    this.error = null;
  }

  /** Asks until `stop`, or until the environment is gone. */
  async start() {
    const { signal } = this._abort;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (!document.hidden) await this._turn(signal);
        [failures, this.error] = [0, null];
      } catch (error) {
        if (signal.aborted || isAborted(error)) return;
        if (isGone(error)) return this._onEnd(error);
        this.error = error;
        failures += 1;
        this._onChange(this);
      }
      await new Promise((resolve) =>
        setTimeout(resolve, failures ? Math.min(PERIOD_MS * failures, LONGEST_RETRY_MS) : PERIOD_MS),
      );
    }
  }

  /** Ends it. */
  stop() {
    this._abort.abort();
  }

  /** The steps of the running episode, oldest first, with the calls that did them; calls that failed to be one too. */
  get steps() {
    const began = this.events.find((event) => event.event === "reset")?.ts ?? 0;
    const calls = this.calls.filter((call) => call.call === "step" && call.at + call.duration_ms / 1000 >= began);
    const byStep = new Map(
      calls.filter((call) => call.step !== null && call.step !== undefined).map((call) => [call.step, call]),
    );
    const done = this.events
      .filter((event) => event.event === "step")
      .map((event) => stepOf(event, byStep.get(event.idx)));
    const known = new Set(done.map((step) => step.call));
    const failed = calls.filter((call) => !call.ok && !known.has(call)).map(failedStep);
    return [...done, ...failed].sort((a, b) => a.at - b.at);
  }

  /** How the episode ended; undefined while it runs. */
  get outcome() {
    return this.events.findLast((event) => event.event === "finalize");
  }

  async _turn(signal) {
    const changes = await Promise.all([this._readCalls(signal), this._readTrajectory(signal)]);
    if (signal.aborted || (this.hasAnswered && !changes.some(Boolean))) return;
    this.hasAnswered = true;
    this._onChange(this);
  }

  async _readCalls(signal) {
    const reply = await this._api.get(`${this._path}/calls`, { after: this._next.calls }, { signal });
    this._next.calls = reply.next;
    this.calls = [...this.calls, ...reply.calls].slice(-MOST_CALLS);
    return reply.calls.length > 0 || this.error !== null;
  }

  async _readTrajectory(signal) {
    const query = { after: this._next.trajectory, limit: PAGE };
    let reply;
    try {
      reply = await this._api.get(`${this._path}/trajectory`, query, { signal });
    } catch (error) {
      if (error.status === 409) return this._begin(null); // no episode yet
      throw error;
    }
    if (reply.episode !== this.episode) {
      const wasFirst = this._next.trajectory === null;
      this._begin(reply.episode);
      if (!wasFirst) return true; // `after` was of the episode before
    }
    this._next.trajectory = reply.next;
    this.events = [...this.events, ...reply.events].slice(-MOST_EVENTS);
    return reply.events.length > 0;
  }

  _begin(episode) {
    const changed = episode !== this.episode;
    this.episode = episode;
    this.events = [];
    this._next.trajectory = null;
    return changed;
  }
}

function stepOf(event, call) {
  return { key: `s${event.idx}`, idx: event.idx, at: event.ts, actions: actionsOf(event), event, call };
}

function failedStep(call) {
  return { key: `f${call.n}`, idx: null, at: call.at, actions: [], event: null, call };
}

/** The steps of a finished episode's events, oldest first. */
export function stepsOf(events) {
  return events.filter((event) => event?.event === "step").map((event, at) => stepOf({ idx: at, ...event }, undefined));
}
