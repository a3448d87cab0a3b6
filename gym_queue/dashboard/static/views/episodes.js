// Finished episodes, the latest first.

import { isAborted } from "../api.js";
import { fill, h, setText, throttle } from "../dom.js";
import { bytes, count, duration, time } from "../format.js";
import { icon } from "../icons.js";
import { episodeBadge, episodeParams } from "../media_episodes.js";
import { filterBar } from "../media_filter.js";
import { keyed } from "../media_list.js";
import { emptyState, errorState, skeleton } from "../notices.js";

const PAGE = 50;
const NEWS_MS = 2000;
const OUTCOMES = [
  ["", "Outcome: any"],
  ...["passed", "failed", "unjudged", "error", "unfinished"].map((name) => [name, name]),
];
const FIELDS = [
  { name: "env", label: "Environment, or its id", isMain: true },
  { name: "task", label: "Task" },
  { name: "worker", label: "Worker" },
  { name: "outcome", label: "Outcome", options: OUTCOMES },
];
const HEADS = ["Outcome", "Environment", "Task", "Steps", "Reward", "Ended", "Took", "Worker", "Size"];

/** @returns {Promise<{update: Function, unmount: Function}>} */
export async function mount(root, ctx) {
  const view = new EpisodesView(root, ctx);
  view.show();
  return { update: (params) => view.update(params), unmount: () => view.destroy() };
}

const keyOf = (row) => `${row.worker_id}/${row.env_id}/${row.episode}`;

class EpisodesView {
  constructor(root, ctx) {
    Object.assign(this, { _ctx: ctx, _rows: [], _abort: new AbortController(), _next: null });
    this._sum = h("p", { class: "soft counted", role: "status" });
    this._bar = filterBar(FIELDS, ctx.params, (changes) => {
      ctx.setParams(changes);
      this.update(ctx.params);
    });
    this._notice = h("div", {});
    this._unreachable = h("p", { class: "soft" });
    this._body = h("tbody");
    const head = h(
      "thead",
      {},
      h(
        "tr",
        {},
        HEADS.map((text) => h("th", { scope: "col" }, text)),
      ),
    );
    this._table = h("table", { class: "episodes" }, head, this._body);
    this._older = h("button", { type: "button", hidden: true, onclick: () => this._loadOlder() }, "Load older");
    root.append(
      h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Episodes"), this._sum),
      this._bar.element,
      this._unreachable,
      this._notice,
      h("div", { class: "scroll-x" }, this._table),
      h("p", {}, this._older),
    );
    const news = throttle(NEWS_MS, () => !document.hidden && this._load(null));
    let known = ctx.live.versions.episodes;
    const end = ctx.live.subscribe("changed", ({ episodes }) => {
      if (episodes !== known) news();
      known = episodes;
    });
    this._ends = [end, news.cancel];
  }

  update(params) {
    this._bar.show(params);
    this.show();
  }

  show() {
    this._abort.abort();
    this._abort = new AbortController();
    [this._rows, this._next, this._table.hidden, this._older.hidden] = [[], null, true, true];
    fill(this._body);
    fill(this._notice, skeleton(6));
    this._load(null);
  }

  destroy() {
    this._abort.abort();
    for (const end of this._ends) end();
  }

  async _loadOlder() {
    this._older.disabled = true;
    await this._load(this._next);
    this._older.disabled = false;
  }

  async _load(before) {
    const { signal } = this._abort;
    const { env, task, worker, outcome } = this._ctx.params;
    try {
      const reply = await this._ctx.api.get(
        "api/episodes",
        { env, task, worker, outcome, before, limit: PAGE },
        { signal },
      );
      if (!signal.aborted) this._take(reply, before);
    } catch (error) {
      if (!signal.aborted && !isAborted(error))
        fill(
          this._notice,
          errorState(error, () => this._load(before)),
        );
    }
  }

  // News are merged with what is shown already: who has read down to older ones keeps them.
  _take(reply, before) {
    const isFirst = this._rows.length === 0;
    const fresh = new Set(reply.rows.map(keyOf));
    this._rows = [...this._rows.filter((row) => !fresh.has(keyOf(row))), ...reply.rows].sort(
      (a, b) => b.ended - a.ended,
    );
    if (isFirst || before !== null) this._next = reply.next_before;
    const away = reply.unreachable ?? [];
    fill(
      this._unreachable,
      away.length ? [icon("warn"), ` No answer from ${away.join(", ")}: their episodes may be missing.`] : null,
    );
    this._render(reply.as_of);
  }

  _render(now) {
    const rows = this._rows;
    fill(this._notice, rows.length ? null : this._nothing());
    setText(this._sum, rows.length ? `${this._next === null ? "" : "the latest "}${count(rows.length)}` : "");
    [this._table.hidden, this._older.hidden] = [rows.length === 0, this._next === null];
    keyed(this._body, rows, keyOf, (row) => this._row(row, now));
  }

  _nothing() {
    const filtered = FIELDS.some(({ name }) => this._ctx.params[name]);
    if (!filtered)
      return emptyState({
        title: "No episode has ended yet",
        text: "An episode shows here when it is done, or when its environment closes.",
      });
    const clear = () => this._ctx.navigate("episodes");
    return emptyState({
      title: "Nothing matches the filter",
      more: h("button", { type: "button", onclick: clear }, "Show all"),
    });
  }

  _row(row, now) {
    const { worker_id, env_id, episode } = row;
    const href = this._ctx.href("episode", episodeParams(row));
    const cell = (label, ...content) => h("td", { dataset: { label } }, h("span", {}, content));
    return h(
      "tr",
      {},
      cell("Outcome", episodeBadge(row)),
      cell(
        "Environment",
        h("a", { href, title: `${env_id} ${episode}` }, row.env ?? env_id, h("span", { class: "soft" }, ` ${episode}`)),
      ),
      cell("Task", row.task_id ?? "–"),
      cell("Steps", count(row.steps)),
      cell("Reward", Number.isFinite(row.reward) ? String(row.reward) : "–"),
      cell("Ended", time(row.ended, now)),
      cell("Took", duration(row.ended - row.started)),
      cell("Worker", h("a", { href: this._ctx.href("workers", { q: worker_id }) }, worker_id)),
      cell("Size", bytes(row.size_bytes), row.has_video ? h("span", { class: "soft" }, " with video") : null),
    );
  }
}
