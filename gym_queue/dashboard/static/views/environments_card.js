// One environment on the wall: its picture or its text, its state, and whose it is.

import { fill, h, setText } from "../dom.js";
import { time } from "../format.js";
import { icon } from "../icons.js";
import { badge } from "../notices.js";

const TEXT_LINES = 40;
const NOT_RESET = "Not reset yet: it shows nothing before its first episode";

/** Shows one environment. Its `element` is a list item. */
export class Card {
  /**
   * @param {Object} ctx The view's context.
   * @param {import("../media_thumbs.js").Thumbnails} thumbs
   */
  constructor(ctx, thumbs) {
    Object.assign(this, { _ctx: ctx, _thumbs: thumbs, _row: null, _stamp: null, _watched: null });
    this._canvas = h("canvas", { class: "card-picture", width: 1, height: 1, hidden: true });
    this._text = h("pre", { class: "card-picture card-screen-text", hidden: true });
    this._note = h("div", { class: "card-note" });
    this._facts = h("div", { class: "card-facts" });
    const view = h("div", { class: "card-view", "aria-hidden": "true" }, this._canvas, this._text, this._note);
    this._link = h("a", { class: "card-link" }, view, this._facts);
    /** The card's element. */
    this.element = h("div", { class: "card-item", role: "listitem" }, this._link);
  }

  /**
   * Shows a row of the list; undefined while it is on its way.
   * @param {Object|undefined} row
   * @param {number} now The server's clock.
   */
  show(row, now) {
    const stamp = row
      ? JSON.stringify([row.env_id, row.state, row.worker_id, row.since, row.env, row.task_id, row.owner])
      : "";
    if (stamp === this._stamp) return;
    [this._stamp, this._row] = [stamp, row];
    if (!row) return this._wait();
    this._link.setAttribute("href", this._ctx.href("environment", { env: row.env_id }));
    this.element.dataset.state = row.state;
    fill(this._facts, ...facts(row, now));
    this._watch(row, now);
  }

  /** Ends it. */
  destroy() {
    this._unwatch();
    this.element.remove();
  }

  _wait() {
    fill(this._facts, h("span", { class: "skeleton" }), h("span", { class: "skeleton" }));
    fill(this._note, h("span", { class: "skeleton" }));
  }

  _watch(row, now) {
    if (row.state === "ready" && this._watched !== row.env_id) {
      this._say("wait", "Looking…");
      this._watched = row.env_id;
      this._thumbs.add(row.env_id, { onSeen: (seen) => this._seen(seen), onError: (error) => this._failed(error) });
    } else if (row.state !== "ready") {
      this._unwatch();
      this._say(row.state === "closing" ? "pause" : "wait", ...waiting(row, now));
    }
  }

  _unwatch() {
    if (this._watched) this._thumbs.remove(this._watched);
    this._watched = null;
  }

  _seen(seen) {
    if (seen.kind === "none") return this._say("pause", NOT_RESET);
    this._say();
    if (seen.kind === "text") this._showText(seen.text);
    if (seen.kind === "image") this._showPicture(seen.bitmap);
  }

  _showPicture(bitmap) {
    [this._canvas.hidden, this._text.hidden] = [false, true];
    if (this._canvas.width !== bitmap.width || this._canvas.height !== bitmap.height) {
      [this._canvas.width, this._canvas.height] = [bitmap.width, bitmap.height];
    }
    this._canvas.getContext("2d").drawImage(bitmap, 0, 0);
  }

  _showText(text) {
    [this._canvas.hidden, this._text.hidden] = [true, false];
    setText(this._text, text.trimEnd().split("\n").slice(-TEXT_LINES).join("\n") || "(an empty terminal)");
  }

  _failed(error) {
    if (error.status === 409) this._say("pause", NOT_RESET);
    else if (error.status === 404 || error.status === 410) this._say("pause", "It has closed");
    else this._say("bad", `No picture: ${error.message}`);
  }

  // A picture that cannot be renewed stays, dimmed, behind the reason.
  _say(sign, ...words) {
    fill(this._note, words.length ? [icon(sign), h("span", {}, ...words)] : null);
    this._note.hidden = words.length === 0;
    this.element.classList.toggle("is-old", words.length > 0);
  }
}

function waiting(row, now) {
  const since = [time(row.since ?? null, now, "for")];
  if (row.state === "queued") return ["Waits in the queue for ", ...since];
  if (row.state === "creating") return [row.worker_id ? `Starts on ${row.worker_id} for ` : "Starts for ", ...since];
  return ["Closes"];
}

function facts(row, now) {
  const name = row.env ?? row.env_id;
  return [
    h("span", { class: "card-line" }, h("strong", { class: "cut", title: row.env_id }, name), badge(row.state)),
    h(
      "span",
      { class: "card-line soft" },
      h("span", { class: "cut", title: "task" }, row.task_id ?? (row.env ? row.env_id : "no task named")),
      time(row.since ?? null, now),
    ),
    h(
      "span",
      { class: "card-line soft" },
      h("span", { class: "cut" }, row.worker_id ?? "no worker yet"),
      h("span", { class: "cut" }, row.owner ?? ""),
    ),
  ];
}
