// An environment's log: the worker's and the environment's own lines, and the master's, by time.

import { fill, h } from "../dom.js";
import { clock, date } from "../format.js";
import { isGone } from "../media_screen.js";
import { keyed } from "../media_list.js";
import { emptyState, errorState, skeleton } from "../notices.js";

const PERIOD_MS = 3000;
const LIMIT = 500;
const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/** The log, asked for while it is shown. */
export class LogsPanel {
  /**
   * @param {Object} ctx The view's context.
   * @param {string} envId
   */
  constructor(ctx, envId) {
    const id = encodeURIComponent(envId);
    Object.assign(this, {
      _ctx: ctx,
      _sources: { worker: `envs/${id}/logs`, master: `api/logs/${id}` },
      _lines: {},
      _timer: 0,
    });
    const options = LEVELS.map((level) =>
      h(
        "option",
        { value: level, selected: level === "INFO" },
        level === "DEBUG" ? "all levels" : `${level.toLowerCase()} and worse`,
      ),
    );
    this._level = h("select", { "aria-label": "Level", onchange: () => this._show() }, options);
    this._notice = h("div", {}, skeleton(4));
    this._list = h("div", { class: "log", role: "log", "aria-live": "off", tabindex: "0", "aria-label": "Log" });
    this.element = h("div", {}, h("div", { class: "live-tools" }, this._level), this._notice, this._list);
  }

  /** Asks, and asks again while it is shown. */
  activate() {
    clearInterval(this._timer);
    this._timer = setInterval(() => !document.hidden && this._read(), PERIOD_MS);
    this._read();
  }

  /** Asks no more. */
  deactivate() {
    clearInterval(this._timer);
  }

  async _read() {
    const names = Object.keys(this._sources);
    if (names.length === 0) return;
    const replies = await Promise.allSettled(
      names.map((name) => this._ctx.api.get(this._sources[name], { limit: LIMIT })),
    );
    const failed = replies.filter((reply) => reply.status === "rejected");
    replies.forEach((reply, at) => {
      if (reply.status === "fulfilled")
        this._lines[names[at]] = reply.value.lines.map((line) => ({ source: names[at], ...line }));
    });
    // Of an environment that has ended nothing more is written, and asking would only fail.
    for (const [at, reply] of replies.entries()) if (isGone(reply.reason)) delete this._sources[names[at]];
    this._error = failed.length === names.length ? failed[0].reason : null;
    this._show();
  }

  _show() {
    const least = LEVELS.indexOf(this._level.value);
    const all = Object.values(this._lines)
      .flat()
      .sort((a, b) => a.at - b.at);
    const lines = all.filter((line) => LEVELS.indexOf(line.level) >= least).slice(-LIMIT);
    const atEnd = this._list.scrollTop + this._list.clientHeight >= this._list.scrollHeight - 8;
    if (this._error)
      fill(
        this._notice,
        errorState(this._error, () => this._read()),
      );
    else
      fill(
        this._notice,
        lines.length ? null : emptyState({ title: all.length ? "No line of this level" : "Nothing was logged" }),
      );
    this._list.hidden = lines.length === 0;
    const seen = new Map();
    keyed(this._list, lines, (line) => numbered(seen, `${line.at}/${line.source}/${line.text}`), logLine);
    if (atEnd) this._list.scrollTop = this._list.scrollHeight;
  }
}

function numbered(seen, key) {
  const times = (seen.get(key) ?? 0) + 1;
  seen.set(key, times);
  return `${key}/${times}`;
}

function logLine(line) {
  const title = [date(line.at), line.logger, line.request_id && `request ${line.request_id}`]
    .filter(Boolean)
    .join("\n");
  const more = line.exception
    ? h("details", {}, h("summary", {}, "traceback"), h("pre", { class: "json", tabindex: "0" }, line.exception))
    : null;
  return h(
    "div",
    { class: "log-line", dataset: { level: line.level } },
    h("span", { class: "soft", title }, clock(line.at)),
    h("span", { class: "log-level" }, line.level),
    h("span", { class: "soft" }, line.source),
    h("span", { class: "log-text" }, line.text, more),
  );
}
