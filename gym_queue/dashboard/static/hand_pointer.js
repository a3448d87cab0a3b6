// Turns what a person does with mouse, pen or finger on a screen's picture into actions, in pixels of that screen.

import { heldOf } from "./hand_keys.js";

const DRAG_PX = 6;
const AGAIN_MS = 300;
const WHEEL_MS = 200;
const PX_PER_CLICK = 100;
const LINE_PX = 33;
const PAGE_PX = 800;
const MOST_CLICKS = 50;
const TIMES = ["left_click", "double_click", "triple_click"];

/** What a plain click can be made to mean, for who has no second button; value → words. */
export const TOOLS = {
  left_click: "left click",
  double_click: "double click",
  triple_click: "triple click",
  right_click: "right click",
  middle_click: "middle click",
  left_click_drag: "drag",
  move: "move there",
};

/** Listens on a stage. */
export class Pointer {
  /**
   * @param {import("./media_stage.js").Stage} stage
   * @param {{toolOf: () => string, isOn: () => boolean, takesWheel: () => boolean,
   *   onInput: (actions: Object[]) => void, onBegin: () => void, onDown: () => void}} hooks `toolOf` names one of
   *   TOOLS; `onBegin` is told before anything that may become an action, `onDown` of every press.
   */
  constructor(stage, hooks) {
    Object.assign(this, { _stage: stage, _hooks: hooks, _from: null, _again: null, _wheel: null });
    this._abort = new AbortController();
    const on = (name, fn, options) =>
      stage.element.addEventListener(name, fn, { signal: this._abort.signal, ...options });
    on("pointerdown", (event) => this._down(event));
    on("pointerup", (event) => this._up(event));
    on("pointercancel", () => (this._from = null));
    on("mousedown", (event) => hooks.isOn() && this._at(event) && event.preventDefault()); // the field keeps the focus
    on("contextmenu", (event) => hooks.isOn() && this._at(event) && event.preventDefault());
    on("wheel", (event) => this._turn(event), { passive: false });
  }

  /** Gives on a click that may still become a double one. */
  flush() {
    clearTimeout(this._again?.timer);
    if (this._again) this._clicked(this._again);
  }

  /** Ends it; what is not complete is forgotten. */
  destroy() {
    this._abort.abort();
    clearTimeout(this._again?.timer);
    clearTimeout(this._wheel?.timer);
  }

  _at(event) {
    return this._stage.pointAt(event.clientX, event.clientY);
  }

  _down(event) {
    if (!event.isPrimary || !this._hooks.isOn()) return;
    const at = this._at(event);
    this._from = at && { at, x: event.clientX, y: event.clientY, button: event.button, held: heldOf(event) };
    this._hooks.onBegin();
    if (at) event.target.setPointerCapture?.(event.pointerId);
    this._hooks.onDown();
  }

  _up(event) {
    const from = this._from;
    this._from = null;
    if (from === null || !this._hooks.isOn()) return;
    const isFar = Math.hypot(event.clientX - from.x, event.clientY - from.y) > DRAG_PX;
    const tool = from.button === 0 ? this._hooks.toolOf() : from.button === 2 ? "right_click" : "middle_click";
    if (isFar) this._drag(from, this._stage.pointAt(event.clientX, event.clientY, { within: true }), tool);
    else if (tool === "left_click_drag") return;
    else if (tool === "left_click" && from.button === 0) this._click(from);
    else this._give({ [tool]: from.at }, from.held);
  }

  _drag(from, to, tool) {
    if (tool === "middle_click") return; // no action says this
    this._give({ [tool === "right_click" ? "right_click_drag" : "left_click_drag"]: [from.at, to] }, from.held);
  }

  // A click may be the first of two or three: they are one action.
  _click(from) {
    const again = this._again;
    clearTimeout(again?.timer);
    const isNear = again && Math.hypot(from.x - again.x, from.y - again.y) <= DRAG_PX;
    if (again && !isNear) this._clicked(again);
    this._again = isNear ? { ...again, count: again.count + 1 } : { ...from, count: 1 };
    if (this._again.count === TIMES.length) this._clicked(this._again);
    else this._again.timer = setTimeout(() => this._clicked(this._again), AGAIN_MS);
  }

  _clicked({ at, count, held }) {
    this._again = null;
    this._give({ [TIMES[count - 1]]: at }, held);
  }

  _turn(event) {
    const at = this._hooks.isOn() && this._hooks.takesWheel() && this._at(event);
    if (!at) return;
    event.preventDefault();
    this._hooks.onBegin();
    clearTimeout(this._wheel?.timer);
    const unit = [1, LINE_PX, PAGE_PX][event.deltaMode];
    const px = (this._wheel?.px ?? 0) + event.deltaY * unit;
    this._wheel = { px, timer: setTimeout(() => this._turned(at, px, heldOf(event)), WHEEL_MS) };
  }

  _turned(at, px, held) {
    this._wheel = null;
    const clicks = Math.min(MOST_CLICKS, Math.max(1, Math.round(Math.abs(px) / PX_PER_CLICK))) * Math.sign(px);
    if (clicks) this._give({ move: at, scroll: clicks }, held);
  }

  _give(mouse, held) {
    this._hooks.onInput([{ mouse: held.length ? { ...mouse, held } : mouse }]);
  }
}
