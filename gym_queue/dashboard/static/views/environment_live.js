// The live view of one environment: its screen up to ten times a second, the last step's actions drawn on it.

import { fill, h, setText } from "../dom.js";
import { time } from "../format.js";
import { icon } from "../icons.js";
import { describeAll, marksOf } from "../media_actions.js";
import { LiveScreen, look } from "../media_screen.js";
import { Stage } from "../media_stage.js";

const RATE_MS = 500;
const WIDTH_STEP_PX = 160;
const MAX_WIDTH_PX = 3840;
const NOT_RESET = " Not reset yet: it shows nothing before its first episode.";

/** Watches one environment. Put its `element` on the page. */
export class LivePanel {
  /**
   * @param {Object} ctx The view's context.
   * @param {string} envId
   * @param {{onEnd: (error: Error) => void}} hooks
   */
  constructor(ctx, envId, { onEnd }) {
    Object.assign(this, { _ctx: ctx, _envId: envId, _steps: [], _last: "", _screen: null });
    this.stage = new Stage({ label: `Screen of ${envId}` });
    this._live = new LiveScreen((etag, signal) => this._look(etag, signal), {
      onSeen: (seen) => this._seen(seen),
      onError: (error) => this.stage.note(...trouble(error)),
      onEnd,
    });
    this._build();
  }

  _build() {
    this._pause = h(
      "button",
      { type: "button", "aria-pressed": "false", onclick: () => this._togglePause() },
      icon("pause"),
      " Pause",
    );
    this._fit = h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        title: "A pixel of the screen for a pixel here",
        onclick: () => this._toggleFit(),
      },
      "1:1",
    );
    this._actions = h("input", { type: "checkbox", checked: true, onchange: () => this._mark() });
    this._rate = h("span", {
      class: "live-rate soft",
      title: "new pictures per second; it looks up to ten times a second, less often while nothing changes",
    });
    this._caption = h("p", { class: "live-caption" });
    this.tools = h(
      "div",
      { class: "live-tools", role: "group", "aria-label": "Live view" },
      this._pause,
      this._fit,
      h("label", { class: "check" }, this._actions, " actions"),
      this._rate,
    );
    /** The panel's element. */
    this.element = h(
      "section",
      { class: "live", "aria-label": "Live view" },
      this.tools,
      this.stage.element,
      this._caption,
    );
  }

  /** Says that there is nothing to look at yet. */
  wait() {
    this.stage.note(icon("pause"), NOT_RESET);
  }

  /** Begins to look. */
  start() {
    if (this._timer) return;
    this._timer = setInterval(() => this._tellRate(), RATE_MS);
    this.stage.note(icon("wait"), " Looking…");
    this._live.start();
  }

  /** Ends looking; the last picture stays. */
  stop() {
    clearInterval(this._timer);
    this._live.stop();
    fill(this._rate);
    for (const button of [this._pause, this._fit]) button.disabled = true;
  }

  /** Ends it. */
  destroy() {
    this.stop();
    this.stage.destroy();
  }

  /** Waits, or goes on, for another than the reader. */
  hold(isHeld) {
    this._live.setPaused(isHeld || this._pause.getAttribute("aria-pressed") === "true");
    this.element.hidden = isHeld;
  }

  /** Something is about to change: looks quickly for a while. */
  hurry() {
    this._live.hurry();
  }

  /** Takes the episode's steps; the last one is drawn. */
  setSteps(steps) {
    this._steps = steps;
    const key = steps.at(-1)?.key ?? "";
    if (key !== this._last) this._live.hurry();
    this._last = key;
    this._mark();
  }

  _look(etag, signal) {
    const isWhole = this.stage.element.dataset.fit === "actual";
    const wide = this.stage.element.clientWidth * (window.devicePixelRatio || 1);
    const width = isWhole
      ? MAX_WIDTH_PX
      : Math.min(MAX_WIDTH_PX, Math.max(1, Math.ceil(wide / WIDTH_STEP_PX)) * WIDTH_STEP_PX);
    return look(this._ctx.api, this._envId, { width, etag, signal });
  }

  _seen(seen) {
    this.stage.note();
    if (seen.kind === "text") this.stage.showText(seen.text);
    if (seen.kind === "image") this.stage.show(seen.bitmap, seen.screen);
  }

  _mark() {
    const done = this._steps.filter((step) => step.idx !== null);
    const last = done.at(-1);
    const pointer = marksOf(done.slice(0, -1).flatMap((step) => step.actions)).pointer;
    this.stage.mark(last && this._actions.checked ? marksOf(last.actions, pointer).marks : []);
    if (last)
      fill(
        this._caption,
        h("strong", {}, `Step ${last.idx}`),
        ` ${describeAll(last.actions)} `,
        h("span", { class: "soft" }, time(last.at, this._ctx.clock.now())),
      );
    else fill(this._caption, h("span", { class: "soft" }, "No step yet in this episode."));
  }

  _tellRate() {
    if (this._live.isPaused) setText(this._rate, "paused");
    else if (this._live.isFailing) setText(this._rate, "");
    else setText(this._rate, this._live.rate ? `${this._live.rate.toFixed(1)} fps` : "no change");
  }

  _togglePause() {
    const paused = !this._live.isPaused;
    this._live.setPaused(paused);
    this._pause.setAttribute("aria-pressed", String(paused));
    fill(this._pause, icon(paused ? "play" : "pause"), paused ? " Go on" : " Pause");
    this._tellRate();
  }

  _toggleFit() {
    const isWhole = this._fit.getAttribute("aria-pressed") !== "true";
    this._fit.setAttribute("aria-pressed", String(isWhole));
    this.stage.setFit(isWhole ? "actual" : "fit");
    this._live.forget();
  }
}

function trouble(error) {
  if (error.status === 409) return [icon("pause"), NOT_RESET];
  if (error.status === 0) return [icon("bad"), ` No picture: ${error.message} It goes on trying.`];
  return [icon("bad"), ` No picture (${error.code}): ${error.message}`];
}
