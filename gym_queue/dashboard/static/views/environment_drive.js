// Drives an environment by hand: what a person does on its live view goes to the agent that waits for it.

import { isAborted } from "../api.js";
import { confirm } from "../dialog.js";
import { fill, h, setText } from "../dom.js";
import { Typing, chordOf, takeKeys } from "../hand_keys.js";
import { Pointer, TOOLS } from "../hand_pointer.js";
import { icon } from "../icons.js";
import { describeAll, marksOf } from "../media_actions.js";

const PERIOD_MS = 1000;
const BUSY_PERIOD_MS = 300;
const TRIES = 4;
const AGAIN_MS = 1000;
const KEYS = {
  Enter: "enter",
  Tab: "tab",
  Esc: "esc",
  "⌫": "backspace",
  "←": "left",
  "↑": "up",
  "↓": "down",
  "→": "right",
};
const SPOKEN = { "⌫": "Backspace", "←": "Left", "↑": "Up", "↓": "Down", "→": "Right" };
const READS = "You may only look here: sign in with the cluster's token at a dashboard that may act.";
const NOBODY =
  "Nobody waits for input here: run gym-anything benchmark with --agent HumanAgent and this cluster's --remote-url.";
const AS_IT_IS = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
const HINT =
  "Click the picture to type into it; Escape leaves it. What is typed goes out at a pause, at Enter, or with the next click.";

/** Drives one environment. Put what is `above` and `below` around the live view. */
export class DrivePanel {
  /**
   * @param {Object} ctx The view's context.
   * @param {string} envId
   * @param {{live: import("./environment_live.js").LivePanel, onClose: () => void}} options
   */
  constructor(ctx, envId, { live, onClose }) {
    Object.assign(this, { _ctx: ctx, _live: live, _path: `api/envs/${encodeURIComponent(envId)}/hand` });
    Object.assign(this, { _view: null, _typed: [], _unsent: 0, _sending: Promise.resolve() });
    this._abort = new AbortController();
    this._typing = new Typing({
      onInput: (actions) => this.send(actions),
      onChange: (actions) => this._gathered(actions),
    });
    this._build(onClose);
    this._listen();
  }

  _build(onClose) {
    const button = (text, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, text);
    this._state = h("p", { class: "drive-state", role: "status" });
    this._task = h("p", { class: "drive-task", tabindex: "0", role: "region", "aria-label": "Task", hidden: true });
    this._refused = h("p", { class: "drive-refused", role: "alert" });
    this._tool = h(
      "select",
      { "aria-label": "A click is a" },
      Object.entries(TOOLS).map(([value, text]) => h("option", { value }, text)),
    );
    this._tool.addEventListener("change", () => (this._live.stage.element.dataset.tool = this._tool.value));
    const keys = Object.entries(KEYS).map(([text, name]) =>
      button(text, () => this._press([name]), { class: "small", "aria-label": `Press ${SPOKEN[text] ?? text}` }),
    );
    this._ends = [
      button("Done", () => this._askEnd(DONE), { class: "primary" }),
      button("Give up", () => this._askEnd(GIVE_UP)),
    ];
    this._controls = h(
      "fieldset",
      { class: "drive-controls", "aria-label": "Input", disabled: true },
      h("label", { class: "check" }, "A click is a ", this._tool),
      button("Wait 1 s", () => this.send([{ action: "wait", time: 1 }]), { class: "small" }),
      h("span", { class: "drive-keys", role: "group", "aria-label": "Keys" }, keys),
      this._form("Key or chord", "ctrl+c", "Press", (text) => this._press(chordOf(text))),
      this._form("Text", "text, as it is", "Type", (text) => this.send([{ keyboard: { text } }])),
    );
    const ends = h("div", { class: "buttons" }, this._ends, button("Stop driving", onClose));
    const head = h("div", { class: "live-tools" }, this._state, ends);
    const hint = h("p", { class: "soft" }, HINT);
    /** What goes above the live view: what is to be done, and whose turn it is. */
    this.above = h("section", { class: "drive", "aria-label": "Drive" }, head, this._task, this._refused);
    /** What goes below it: what mouse and keys of a person cannot say. */
    this.below = h("section", { class: "drive", "aria-label": "Drive by buttons" }, hint, this._controls);
  }

  _form(label, placeholder, act, onText) {
    const field = h("input", { type: "text", "aria-label": label, placeholder, ...AS_IT_IS });
    const onsubmit = (event) => {
      event.preventDefault();
      if (field.value !== "") onText(field.value);
      field.value = "";
    };
    return h("form", { class: "drive-form", onsubmit }, field, h("button", { type: "submit", class: "small" }, act));
  }

  _listen() {
    const { stage } = this._live;
    this._keys = h("textarea", {
      class: "drive-capture",
      "aria-label": "Keys for the environment: what is typed here goes there, and Escape leaves",
      rows: 1,
      ...AS_IT_IS,
    });
    takeKeys(this._keys, this._typing);
    stage.element.prepend(this._keys);
    stage.element.classList.add("is-driven");
    this._pointer = new Pointer(stage, {
      toolOf: () => this._tool.value,
      isOn: () => this._isOn,
      takesWheel: () => document.activeElement === this._keys,
      onBegin: () => this._typing.flush(),
      onDown: () => this._keys.focus({ preventScroll: true }),
      onInput: (actions) => this.send(actions),
    });
  }

  /** Asks until `destroy` what the agent does. */
  async start() {
    const { signal } = this._abort;
    while (!signal.aborted) {
      if (!document.hidden) await this._ask(signal);
      const isBusy = this._unsent || this._view?.waiting.length;
      await new Promise((resolve) => setTimeout(resolve, isBusy ? BUSY_PERIOD_MS : PERIOD_MS));
    }
  }

  /** Ends it; what was typed and not given on is forgotten. */
  destroy() {
    this._abort.abort();
    this._typing.drop();
    this._pointer.destroy();
    this._keys.remove();
    this._live.stage.element.classList.remove("is-driven");
    delete this._live.stage.element.dataset.tool;
    this.above.remove();
    this.below.remove();
  }

  /**
   * Gives the agent an input, after those before it.
   * @param {Object[]} actions
   * @param {{done?: boolean, note?: string}} [more]
   */
  send(actions, more = {}) {
    if (!this._isOn) return;
    const input = { id: newId(), actions, ...more };
    this._unsent += 1;
    this._live.stage.mark(marksOf(actions).marks);
    this._tell();
    this._sending = this._sending.then(() => this._post(input));
  }

  get _isOn() {
    return Boolean(this._ctx.me?.may_act) && (this._view?.listens ?? "nobody") !== "nobody";
  }

  // A click that waits for a second one was before what is typed now.
  _gathered(actions) {
    this._pointer.flush();
    this._typed = actions;
    this._tell();
  }

  _press(keys) {
    this._typing.flush();
    if (keys.length) this.send([{ keyboard: { keys } }]);
  }

  async _askEnd({ title, text, action, note }) {
    this._typing.flush();
    if (await confirm({ title, text, action })) this.send([], { done: true, note });
  }

  async _post(input) {
    for (let left = TRIES; left && !this._abort.signal.aborted; left -= 1) {
      try {
        await this._ctx.api.post(this._path, input); // the same id again adds nothing
        break;
      } catch (error) {
        const isLast = left === 1 || (error.status !== 0 && error.status < 502);
        if (isLast) {
          this._ctx.notify(`It was not sent: ${error.message}`, "bad");
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    await this._ask(this._abort.signal);
    this._unsent -= 1;
    this._live.hurry();
    this._tell();
  }

  async _ask(signal) {
    try {
      this._view = await this._ctx.api.get(this._path, {}, { signal });
      this._tell();
    } catch (error) {
      if (isAborted(error) || signal.aborted) return;
      if (error.status >= 400 && error.status < 500) this._view = null; // else it may be back any moment
      this._tell();
      this._said = null;
      fill(this._state, icon("bad"), ` ${error.message}`);
    }
  }

  _tell() {
    const told = this._view?.told;
    setText(this._task, told?.task ?? "");
    this._task.hidden = !told?.task;
    setText(this._refused, told?.refused ? `Not carried out: ${told.refused}` : "");
    for (const control of [this._controls, ...this._ends]) control.disabled = !this._isOn;
    this._keys.disabled = !this._isOn;
    const state = this._words();
    if (state.text === this._said) return;
    this._said = state.text;
    fill(this._state, icon(state.icon), ` ${state.text}`);
  }

  _words() {
    if (!this._ctx.me?.may_act) return { icon: "pause", text: READS };
    if (this._view === null) return { icon: "wait", text: "Asking who waits for input…" };
    if (this._view.listens === "nobody") return { icon: "pause", text: NOBODY };
    if (this._typed.length) return { icon: "wait", text: `Typing: ${describeAll(this._typed)}` };
    const count = Math.max(this._unsent, this._view.waiting.length);
    if (count > 1) return { icon: "run", text: `${count} inputs are being carried out…` };
    if (count || this._view.listens === "busy") return { icon: "run", text: "Your input is being carried out…" };
    return { icon: "ok", text: `Your turn: step ${this._view.told?.step ?? 0}` };
  }
}

const DONE = {
  title: "Is the task done?",
  text: "The attempt ends here, and is judged by the task's verifier.",
  action: "It is done",
  note: "",
};
const GIVE_UP = {
  title: "Give this task up?",
  text: "The attempt ends here, and is judged as it is.",
  action: "Give up",
  note: "gave up",
};

// crypto.randomUUID is there on https and localhost alone.
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
