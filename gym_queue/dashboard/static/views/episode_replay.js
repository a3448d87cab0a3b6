// The replay of an episode: its frames with what the agent did drawn on what it saw.

import { isAborted } from "../api.js";
import { fill, h } from "../dom.js";
import { clock, date, duration } from "../format.js";
import { icon } from "../icons.js";
import { describeAll, marksOf } from "../media_actions.js";
import { FrameCache } from "../media_frames.js";
import { Player, frameAt } from "../media_player.js";
import { Stage } from "../media_stage.js";

const SPEEDS = [1, 2, 4, 8];
const AHEAD = 6;
const KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const OWN_KEYS = "input, select, textarea, button, a, summary, video, pre, dialog, [role=tab], [contenteditable]";

/** Replays one episode. Put its `element` on the page. */
export class Replay {
  /**
   * @param {Object} options
   * @param {Object[]} options.steps As `stepsOf` gives them.
   * @param {number[]} options.frames The frames that are kept, ascending.
   * @param {number[]} options.times When each position began.
   * @param {[number, number]|null} options.screen The size that the actions' points are of; that of the frames
   *   unless given.
   * @param {(index: number, signal: AbortSignal) => Promise<Blob>} options.fetchFrame
   * @param {(position: number, isPlaying: boolean) => void} options.onMove
   */
  constructor({ steps, frames, times, screen, fetchFrame, onMove }) {
    Object.assign(this, { _steps: steps, _frames: frames, _times: times, _screen: screen, _onMove: onMove });
    this._cache = new FrameCache(fetchFrame);
    this._marks = allMarks(steps);
    this._stage = new Stage({ label: "Frame of the episode" });
    this.player = new Player(times, {
      onMove: (position) => this._move(position),
      onPlaying: (isPlaying) => this._tellPlaying(isPlaying),
    });
    this._build();
    this._onKey = (event) => this._key(event);
    document.addEventListener("keydown", this._onKey);
  }

  _build() {
    const { player } = this;
    const last = Math.max(0, player.last);
    this._slider = h("input", {
      type: "range",
      min: "0",
      max: String(last),
      step: "1",
      value: "0",
      class: "timeline",
      "aria-label": "Step",
      oninput: (event) => player.go(Number(event.target.value)),
    });
    this._play = h("button", { type: "button", class: "primary", onclick: () => player.toggle() });
    const move = (label, by, text) =>
      h("button", { type: "button", "aria-label": label, title: label, onclick: () => this._by(by) }, text);
    const speeds = SPEEDS.map((speed) => h("option", { value: String(speed) }, `${speed}×`));
    const speed = h(
      "select",
      { "aria-label": "Speed", onchange: (event) => player.setPace({ speed: Number(event.target.value) }) },
      speeds,
    );
    const pace = h(
      "select",
      { "aria-label": "Pace", onchange: (event) => player.setPace({ isReal: event.target.value === "real" }) },
      h("option", { value: "steps" }, "a step a second"),
      h("option", { value: "real" }, "as it was"),
    );
    this._after = h(
      "select",
      { "aria-label": "Frame", onchange: () => player.go(player.position) },
      h("option", { value: "before" }, "what the agent saw"),
      h("option", { value: "after" }, "what it led to"),
    );
    this._actions = h("input", { type: "checkbox", checked: true, onchange: () => player.go(player.position) });
    this._where = h("p", { class: "replay-where", role: "status" });
    const buttons = [move("One step back (←)", -1, "‹"), this._play, move("One step on (→)", 1, "›")];
    const tools = h(
      "div",
      { class: "live-tools" },
      buttons,
      speed,
      pace,
      this._after,
      h("label", { class: "check" }, this._actions, " actions"),
    );
    this._tellPlaying(false);
    /** The replay's element. */
    this.element = h(
      "section",
      { class: "replay", "aria-label": "Replay" },
      this._stage.element,
      this._slider,
      tools,
      this._where,
    );
  }

  /** Ends it. */
  destroy() {
    document.removeEventListener("keydown", this._onKey);
    this.player.pause();
    this._cache.destroy();
    this._stage.destroy();
  }

  async _move(position) {
    const turn = (this._turn = (this._turn ?? 0) + 1);
    const isAfter = this._after.value === "after";
    const found = frameAt(this._frames, isAfter ? position + 1 : position);
    this._tellWhere(position, found, isAfter);
    this._onMove(position, this.player.isPlaying);
    if (!found)
      return this._stage.note(
        icon("pause"),
        " No frame was kept of this episode: its environment has no picture, or its steps were not observed.",
      );
    await this._show(found.index, turn);
    if (turn !== this._turn) return;
    this._stage.mark(this._actions.checked ? (this._marks[position] ?? []) : []);
    this._cache.ahead(this._frames.filter((index) => index > found.index).slice(0, AHEAD));
  }

  async _show(index, turn) {
    const late = setTimeout(() => turn === this._turn && this._stage.note(icon("wait"), " Loading the frame…"), 400);
    try {
      const bitmap = await this._cache.get(index);
      if (turn !== this._turn) return;
      this._stage.show(bitmap, this._screen ?? undefined);
      this._stage.note();
    } catch (error) {
      if (turn === this._turn && !isAborted(error))
        this._stage.note(icon("bad"), ` Frame ${index} cannot be shown: ${error.message}`);
    } finally {
      clearTimeout(late);
    }
  }

  _tellWhere(position, found, isAfter) {
    const step = this._steps[position];
    const at = this._times[position];
    const passed = at - this._times[0];
    const name = step ? `Step ${step.idx} of ${this._steps.length}` : `After the last of ${this._steps.length} steps`;
    this._slider.value = position;
    this._slider.setAttribute("aria-valuetext", name);
    const wanted = isAfter && step ? position + 1 : position;
    const missing =
      found && !found.isExact && found.index !== wanted
        ? ` · frame ${wanted} was not kept, this is frame ${found.index}`
        : "";
    const when = h("span", { class: "soft", title: date(at) }, ` ${clock(at)}, ${duration(passed)} in${missing}`);
    fill(this._where, h("strong", {}, name), step ? ` ${describeAll(step.actions)}` : "", when);
  }

  _tellPlaying(isPlaying) {
    fill(this._play, icon(isPlaying ? "pause" : "play"), isPlaying ? " Pause" : " Play");
    if (!isPlaying && this.element) this._onMove(this.player.position, false);
  }

  _by(steps) {
    this.player.pause();
    this.player.go(this.player.position + steps);
  }

  _key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(OWN_KEYS)) return;
    if (event.key in KEYS) this._by(KEYS[event.key]);
    else if (event.key === " ") this.player.toggle();
    else return;
    event.preventDefault();
  }
}

// The pointer stays where a step left it, so that a later scroll is drawn there.
function allMarks(steps) {
  let at = null;
  return steps.map(({ actions }) => {
    const { marks, pointer } = marksOf(actions, at);
    at = pointer;
    return marks;
  });
}
