// One finished episode: its replay, each step's action, the verdict, the video, the files.

import { isAborted } from "../api.js";
import { debounce, fill, h } from "../dom.js";
import { bytes, duration, time } from "../format.js";
import { icon } from "../icons.js";
import { episodeBadge } from "../media_episodes.js";
import { stepsOf } from "../media_feed.js";
import { factList, fileTable, jsonBlock, keyed, tabBar } from "../media_list.js";
import { rewardOf } from "../media_steps.js";
import { describeAll } from "../media_actions.js";
import { emptyState, errorState, skeleton } from "../notices.js";
import { eventRow } from "./environment_more.js";
import { Replay } from "./episode_replay.js";

const VIDEO = "recording.mp4";
const MOST_EVENTS = 2000;
const REMEMBER_MS = 250;

/** @returns {Promise<{unmount: Function}>} */
export async function mount(root, ctx) {
  const view = new EpisodeView(root, ctx);
  view.load();
  return { unmount: () => view.destroy() };
}

class EpisodeView {
  constructor(root, ctx) {
    const { worker, env, episode } = ctx.params;
    const named = [worker, env, episode];
    Object.assign(this, { _ctx: ctx, _root: root, _named: named.every(Boolean), _abort: new AbortController() });
    const [of, at, name] = named.map(encodeURIComponent);
    this._path = `workers/${of}/episodes/${at}/${name}`;
    // Browsers refuse more than a few changes of the address a second, as a dragged slider would make.
    this._remember = debounce(REMEMBER_MS, (step) => ctx.setParams({ step: step || null }));
  }

  async load() {
    if (!this._named)
      return fill(
        this._root,
        h("h1", { tabindex: "-1" }, "Episode"),
        emptyState({
          title: "No episode is named",
          more: h("a", { href: this._ctx.href("episodes") }, "All episodes"),
        }),
      );
    fill(this._root, h("h1", { tabindex: "-1" }, "Episode"), skeleton(6));
    try {
      const episode = await this._ctx.api.get(this._path, {}, { signal: this._abort.signal });
      this._show(episode);
    } catch (error) {
      if (this._abort.signal.aborted || isAborted(error)) return;
      const all = h("a", { href: this._ctx.href("episodes") }, "All episodes");
      fill(
        this._root,
        h("h1", { tabindex: "-1" }, "Episode"),
        errorState(error, () => this.load()),
        h("p", {}, all),
      );
    }
  }

  destroy() {
    this._abort.abort();
    this._replay?.destroy();
    this._remember.cancel();
  }

  _show(episode) {
    this._episode = episode;
    this._steps = stepsOf(episode.events);
    this._replay = new Replay({
      steps: this._steps,
      frames: [...episode.frames].sort((a, b) => a - b),
      times: timesOf(episode, this._steps),
      screen: screenOf(episode),
      fetchFrame: async (index, signal) =>
        (
          await this._ctx.api.raw(`${this._path}/file`, {
            query: { path: frameName(index) },
            signal,
            patience_ms: 30_000,
          })
        ).blob(),
      onMove: (position, isPlaying) => this._moved(position, isPlaying),
    });
    fill(this._root, this._head(), h("div", { class: "env-columns" }, this._replay.element, this._tabs()));
    this._replay.player.go(Number.parseInt(this._ctx.params.step ?? "0", 10) || 0);
  }

  _head() {
    const { _episode: episode, _ctx: ctx } = this;
    const title = h(
      "h1",
      { tabindex: "-1", class: "cut" },
      episode.env ?? episode.env_id,
      episode.task_id ? h("span", { class: "soft" }, ` / ${episode.task_id}`) : null,
    );
    const worker = h("a", { href: ctx.href("workers", { q: episode.worker_id }) }, episode.worker_id);
    const all = h(
      "a",
      { href: ctx.href("episodes", { env: episode.env_id }), title: "the episodes of this environment" },
      episode.env_id,
    );
    const facts = [
      episodeBadge(episode),
      episode.episode,
      all,
      worker,
      time(episode.ended, episode.as_of),
      duration(episode.ended - episode.started),
    ];
    return h(
      "div",
      { class: "view-head" },
      h(
        "div",
        { class: "view-name" },
        title,
        h(
          "p",
          { class: "env-facts soft" },
          facts.map((fact) => h("span", {}, fact)),
        ),
      ),
    );
  }

  _tabs() {
    this._now = h("div", {});
    this._list = h(
      "div",
      { class: "steps" },
      this._steps.map((step, at) => this._stepButton(step, at)),
    );
    const panels = [
      ["step", "Step", this._now],
      ["verdict", "Verdict", this._verdict()],
      ["steps", "Steps", this._list],
      ["video", "Video", this._video()],
      ["files", "Files", this._files()],
      ["events", "Events", this._events()],
    ];
    const tabs = panels
      .filter(([, , panel]) => panel)
      .map(([id, label, panel]) => ({ id, label, panel: h("div", {}, panel) }));
    const onChoose = (id) => this._ctx.setParams({ tab: id === "step" ? null : id });
    return tabBar(tabs, { label: "About the episode", chosen: this._ctx.params.tab, onChoose }).element;
  }

  _stepButton(step, at) {
    const reward = rewardOf(step.event);
    const onclick = () => {
      this._replay.player.pause();
      this._replay.player.go(at);
    };
    return h(
      "button",
      { type: "button", class: "step step-line", onclick },
      h("span", { class: "step-number" }, String(step.idx)),
      h("span", { class: "step-words" }, describeAll(step.actions)),
      reward === null ? null : h("span", { class: "step-reward" }, `reward ${reward}`),
    );
  }

  _verdict() {
    const { _episode: episode } = this;
    const facts = [
      ["Outcome", episodeBadge(episode)],
      ["Ended by", episode.reason],
      ["Reward", Number.isFinite(episode.reward) ? String(episode.reward) : null],
      ["Score", Number.isFinite(episode.verdict?.score) ? `${episode.verdict.score} of 100` : null],
      ["Feedback", episode.verdict?.feedback ?? episode.feedback],
      ["Error", episode.error],
      ["Steps", String(episode.steps)],
      ["Frames", String(episode.frames.length)],
      ["Runner", episode.runner],
      ["Size", bytes(episode.size_bytes)],
    ];
    const whole = [
      ["the verdict, whole", episode.verdict],
      ["the summary", episode.summary],
    ].filter(([, value]) => value);
    return h(
      "div",
      {},
      factList(facts),
      whole.map(([name, value]) =>
        h(
          "details",
          { class: "step" },
          h(
            "summary",
            { class: "step-line" },
            h("span", { class: "step-number" }, "·"),
            h("span", { class: "step-words" }, name),
          ),
          jsonBlock(value),
        ),
      ),
    );
  }

  _video() {
    if (!this._episode.files.some((file) => file.path === VIDEO)) return null;
    const note = h("p", { class: "soft" });
    const onerror = () => fill(note, icon("bad"), " The video cannot be played here: download it from the files.");
    return h(
      "div",
      {},
      h("video", { class: "video", controls: true, preload: "metadata", src: this._urlOf(VIDEO), onerror }),
      note,
    );
  }

  _files() {
    const { files, as_of } = this._episode;
    const intro = h(
      "p",
      { class: "soft" },
      `${this._episode.frames.length} frames are not listed; the replay shows them.`,
    );
    if (!files.length) return emptyState({ title: "No file is kept" });
    return h("div", {}, fileTable(files, { urlOf: (path) => this._urlOf(path), now: as_of }), intro);
  }

  _events() {
    const { events, events_cut: isCut } = this._episode;
    const list = h("div", { class: "steps" });
    keyed(
      list,
      events.slice(0, MOST_EVENTS).map((event, at) => ({ event, at })),
      ({ at }) => String(at),
      ({ event }) => eventRow(event),
    );
    const more =
      isCut || events.length > MOST_EVENTS
        ? h("p", { class: "soft" }, "There are more: traj.jsonl, among the files, has them all.")
        : null;
    return h("div", {}, list, more);
  }

  _moved(position, isPlaying) {
    const step = this._steps[position];
    const reward = rewardOf(step?.event);
    for (const [at, button] of [...this._list.children].entries()) {
      if (at === position) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    if (step) {
      const facts = [
        ["Did", describeAll(step.actions)],
        ["Reward", reward === null ? null : String(reward)],
        ["Error", step.event.error ? JSON.stringify(step.event.error) : null],
      ];
      fill(
        this._now,
        factList(facts),
        jsonBlock(step.event.action ?? step.event.actions ?? []),
        step.event.metadata
          ? [h("p", { class: "soft" }, "What the agent said of it:"), jsonBlock(step.event.metadata)]
          : null,
      );
    } else
      fill(
        this._now,
        emptyState({ title: "The end", text: "There is no further step. The verdict tells what it came to." }),
      );
    if (!isPlaying) this._remember(position);
  }

  _urlOf(path) {
    return this._ctx.api.url(`${this._path}/file`, { path });
  }
}

const frameName = (index) => `frame_${String(index).padStart(5, "0")}.png`;

// A position lasts from what led to it until the next step: position 0 begins with the episode.
function timesOf(episode, steps) {
  return [episode.started, ...steps.map((step) => step.at)];
}

function screenOf({ events }) {
  const size = events.find((event) => event?.event === "session")?.session?.resolution;
  return Array.isArray(size) && size.length === 2 && size.every((side) => side > 0) ? size : null;
}
