// What else there is to know of an environment: calls, trajectory, logs, files, session; each asked for while shown.

import { fill, h } from "../dom.js";
import { bytes, clock, date, ms, time } from "../format.js";
import { icon } from "../icons.js";
import { factList, fileTable, jsonBlock, keyed } from "../media_list.js";
import { emptyState, errorState, skeleton } from "../notices.js";
import { stampOf, stepRow } from "../media_steps.js";

const MOST_ROWS = 300;
const SECRETS = new Set(["vnc_password", "ssh_password"]);

const none = (title, text) => emptyState({ title, text });

/** The running episode's steps, the latest first. */
export class StepsPanel {
  constructor(ctx) {
    this._ctx = ctx;
    this._list = h("div", { class: "steps" });
    this._notice = h("div", {}, skeleton(4));
    this.element = h("div", {}, this._notice, this._list);
  }

  /** Says that nothing was seen, of an environment that ended before. */
  miss() {
    fill(this._notice, none("Nothing was seen of it", "It ended before this page was opened."));
  }

  update(feed) {
    const steps = feed.steps.slice(-MOST_ROWS).reverse();
    const now = this._ctx.clock.now();
    if (feed.error && !steps.length) fill(this._notice, errorState(feed.error));
    else if (!steps.length)
      fill(
        this._notice,
        feed.episode
          ? none("No step yet", "The episode has begun; its steps show here as they are done.")
          : none("No episode yet", "It begins with a reset."),
      );
    else fill(this._notice, feed.outcome ? outcomeOf(feed.outcome) : null);
    keyed(
      this._list,
      steps,
      (step) => step.key,
      (step) => stepRow(step, now),
      stampOf,
    );
  }
}

function outcomeOf(event) {
  const verifier = event.verifier ?? {};
  const facts = [
    ["Ended", event.reason],
    ["Reward", Number.isFinite(event.reward) ? String(event.reward) : null],
    ["Verifier", typeof verifier.passed === "boolean" ? (verifier.passed ? "passed" : "failed") : null],
    ["Feedback", verifier.feedback],
    ["Error", event.error?.error],
  ];
  return h("div", { class: "outcome" }, factList(facts));
}

/** The calls it answered, the latest first. */
export class CallsPanel {
  constructor(ctx) {
    this._ctx = ctx;
    this._body = h("tbody");
    const heads = ["Call", "Began", "Took", "Answer", "Request"].map((text) => h("th", { scope: "col" }, text));
    this.element = h(
      "div",
      { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Calls" },
      h("table", { class: "calls" }, h("thead", {}, h("tr", {}, heads)), this._body),
    );
  }

  update(feed) {
    const now = this._ctx.clock.now();
    const row = (call) =>
      h(
        "tr",
        {},
        h("td", {}, call.step === null || call.step === undefined ? call.call : `${call.call} ${call.step}`),
        h("td", {}, time(call.at, now)),
        h("td", { class: "end" }, ms(call.duration_ms)),
        h("td", {}, call.ok ? "ok" : h("span", { class: "step-error" }, icon("bad"), ` ${call.error_code}`)),
        h("td", { class: "soft cut" }, call.request_id ?? ""),
      );
    keyed(this._body, feed.calls.slice(-MOST_ROWS).reverse(), (call) => String(call.n), row);
  }
}

/** The trajectory's events as they were logged, the latest first. */
export class TrajectoryPanel {
  constructor() {
    this._list = h("div", { class: "steps" });
    this.element = h("div", {}, this._list);
  }

  update(feed) {
    const events = feed.events
      .map((event, at) => ({ event, at }))
      .slice(-MOST_ROWS)
      .reverse();
    keyed(
      this._list,
      events,
      ({ at }) => `${feed.episode}/${at}`,
      ({ event }) => eventRow(event),
    );
  }
}

/** One logged event as an element that opens to its JSON. */
export function eventRow(event) {
  const name = typeof event.event === "string" ? event.event : "event";
  const about = Number.isInteger(event.idx) ? `${name} ${event.idx}` : name;
  const size = event.cut_bytes ? h("span", {}, `${bytes(event.cut_bytes)}, not shown`) : null;
  const summary = h(
    "summary",
    { class: "step-line" },
    h("span", { class: "step-number" }, "·"),
    h("span", { class: "step-words" }, about),
    h("span", { class: "step-more soft" }, size, h("span", { title: date(event.ts) }, clock(event.ts))),
  );
  const details = h("details", { class: "step" }, summary);
  details.addEventListener("toggle", () => details.childNodes.length === 1 && details.append(jsonBlock(event)));
  return details;
}

/** Its running episode's files. */
export class FilesPanel {
  constructor(ctx, envId) {
    Object.assign(this, { _ctx: ctx, _path: `envs/${encodeURIComponent(envId)}` });
    this._frames = h("input", { type: "checkbox", onchange: () => this.activate() });
    this._list = h("div", {}, skeleton(3));
    const again = h("button", { type: "button", onclick: () => this.activate() }, "Look again");
    this.element = h(
      "div",
      {},
      h("div", { class: "live-tools" }, again, h("label", { class: "check" }, this._frames, " frames too")),
      this._list,
    );
  }

  async activate() {
    const { api, clock: time_ } = this._ctx;
    try {
      const reply = await api.get(`${this._path}/artifacts`, { frames: this._frames.checked ? "1" : null });
      const urlOf = (path) => api.url(`${this._path}/fetch_path`, { path });
      const more = reply.cut ? h("p", { class: "soft" }, "There are more files than are listed.") : null;
      fill(
        this._list,
        reply.files.length
          ? fileTable(reply.files, { urlOf, now: time_.now() })
          : none("No files yet", "An episode's files begin with its reset."),
        more,
      );
    } catch (error) {
      fill(
        this._list,
        errorState(error, () => this.activate()),
      );
    }
  }
}

/** What runs behind it. */
export class SessionPanel {
  constructor() {
    this.element = h("div", {}, none("No session yet", "It begins with a reset."));
  }

  show(session) {
    if (!session) return;
    const facts = Object.entries(session).filter(([name]) => !SECRETS.has(name) && name !== "notes");
    const notes = (session.notes ?? []).map((note) => h("p", { class: "soft" }, icon("warn"), ` ${note}`));
    fill(this.element, factList(facts.map(([name, value]) => [name, textOf(value)])), notes);
  }
}

function textOf(value) {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.join(" × ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
