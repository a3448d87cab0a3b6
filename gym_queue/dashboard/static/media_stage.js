// A place where a screen is shown: its last picture on a canvas, marks on another over it, or a terminal's text.

import { fill, h } from "./dom.js";
import { drawMarks } from "./media_marks.js";

/** Shows pictures of one screen. Put its `element` on the page. */
export class Stage {
  /** @param {{label: string}} options `label` is what the picture is called to those who do not see it. */
  constructor({ label }) {
    this._marks = [];
    this._screen = null;
    this._frame = h("canvas", { class: "stage-frame", role: "img", "aria-label": label, width: 1, height: 1 });
    this._over = h("canvas", { class: "stage-marks", "aria-hidden": "true" });
    this._text = h("pre", { class: "stage-text", tabindex: "0", role: "region", "aria-label": label, hidden: true });
    this._picture = h("div", { class: "stage-picture", hidden: true }, this._frame, this._over);
    this._note = h("div", { class: "stage-note", role: "status", hidden: true });
    /** The stage's element. */
    this.element = h("div", { class: "stage", dataset: { fit: "fit" } }, this._picture, this._text, this._note);
    this._sizes = new ResizeObserver(() => this._draw());
    this._sizes.observe(this._frame);
  }

  /** Whether there is anything to see. */
  get isEmpty() {
    return this._picture.hidden && this._text.hidden;
  }

  /**
   * Shows a picture; it stays the caller's to close.
   * @param {ImageBitmap} bitmap
   * @param {[number, number]} [screen] The size of the screen that the actions' points are of, when the picture is
   *   scaled.
   */
  show(bitmap, screen = [bitmap.width, bitmap.height]) {
    const { width, height } = this._frame;
    if (width !== bitmap.width || height !== bitmap.height) {
      [this._frame.width, this._frame.height] = [bitmap.width, bitmap.height];
    }
    this._frame.style.setProperty("--screen-width", `${screen[0]}px`);
    this._frame.style.aspectRatio = `${screen[0]} / ${screen[1]}`;
    this._frame.getContext("2d").drawImage(bitmap, 0, 0);
    [this._picture.hidden, this._text.hidden] = [false, true];
    const changed = String(screen) !== String(this._screen);
    this._screen = screen;
    if (changed) this._draw();
  }

  /** Shows a terminal's text, and follows its end as long as the reader does. */
  showText(text) {
    const atEnd = this._text.scrollTop + this._text.clientHeight >= this._text.scrollHeight - 4;
    [this._picture.hidden, this._text.hidden] = [true, false];
    if (this._text.textContent === text) return;
    this._text.textContent = text;
    if (atEnd) this._text.scrollTop = this._text.scrollHeight;
  }

  /** Takes what is shown away. */
  clear() {
    [this._picture.hidden, this._text.hidden] = [true, true];
  }

  /** Draws a step's marks over the picture, in place of those before. */
  mark(marks) {
    this._marks = marks;
    this._draw();
  }

  /** Says something over the picture; nothing takes it away. */
  note(...content) {
    fill(this._note, ...content);
    this._note.hidden = this._note.childNodes.length === 0;
    this.element.classList.toggle("is-old", !this._note.hidden && !this.isEmpty);
  }

  /**
   * The pixel of the screen that is shown at a place of the window.
   * @param {number} x
   * @param {number} y
   * @param {{within?: boolean}} [options] `within` takes the nearest pixel of a place beside the picture.
   * @returns {[number, number]|null} Null beside the picture, and of a terminal's text.
   */
  pointAt(x, y, { within = false } = {}) {
    if (!this._screen || this._picture.hidden) return null;
    const { left, top, width, height } = this._frame.getBoundingClientRect();
    const at = [((x - left) / width) * this._screen[0], ((y - top) / height) * this._screen[1]].map(Math.floor);
    const pixel = at.map((place, axis) => Math.min(this._screen[axis] - 1, Math.max(0, place)));
    return within || String(pixel) === String(at) ? pixel : null;
  }

  /** @param {"fit"|"actual"} fit As wide as there is room, or a pixel for a pixel. */
  setFit(fit) {
    this.element.dataset.fit = fit;
  }

  /** Ends it. */
  destroy() {
    this._sizes.disconnect();
  }

  _draw() {
    if (this._screen && !this._picture.hidden) drawMarks(this._over, this._marks, this._screen);
  }
}
