// Turns what a person types into actions: text together, other keys each by its name, chords by all of their names.

const PAUSE_MS = 700;
const MOST_ACTIONS = 50;
const NAMES = {
  Enter: "enter",
  Tab: "tab",
  Escape: "esc",
  Backspace: "backspace",
  Delete: "delete",
  Insert: "insert",
  Home: "home",
  End: "end",
  PageUp: "pgup",
  PageDown: "pgdn",
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowLeft: "left",
  ArrowRight: "right",
};

/** Gathers what is typed until there is a pause, Enter or a chord: one input, however many keys it took. */
export class Typing {
  /**
   * @param {{onInput: (actions: Object[]) => void, onChange: (actions: Object[]) => void}} hooks `onChange` gets what
   *   is gathered so far, none once it was given to `onInput`.
   */
  constructor({ onInput, onChange }) {
    Object.assign(this, { _onInput: onInput, _onChange: onChange, _actions: [], _timer: 0 });
  }

  /** Takes text. */
  text(typed) {
    const text = typed.replace(/\r\n?/g, "\n");
    if (text === "") return;
    const last = this._actions.at(-1);
    if (last?.keyboard.text !== undefined) last.keyboard.text += text;
    else this._actions.push({ keyboard: { text } });
    this._gathered();
  }

  /** Takes a key that writes nothing. */
  key(name) {
    const last = this._actions.at(-1);
    if (name === "enter" && last?.keyboard.text !== undefined) last.keyboard.text += "\n";
    else this._actions.push({ keyboard: { keys: [name] } });
    if (name === "enter") this.flush();
    else this._gathered();
  }

  /** Takes keys that are pressed together. */
  chord(keys) {
    this._actions.push({ keyboard: { keys } });
    this.flush();
  }

  /** Gives on what is gathered. */
  flush() {
    clearTimeout(this._timer);
    const actions = this._actions;
    this._actions = [];
    if (actions.length === 0) return;
    this._onChange([]);
    this._onInput(actions);
  }

  /** Forgets what is gathered. */
  drop() {
    clearTimeout(this._timer);
    this._actions = [];
  }

  _gathered() {
    clearTimeout(this._timer);
    this._onChange(this._actions);
    if (this._actions.length >= MOST_ACTIONS) this.flush();
    else this._timer = setTimeout(() => this.flush(), PAUSE_MS);
  }
}

/**
 * Makes a field take keys for an environment: what it composes or is pasted is text, Escape leaves it.
 * @param {HTMLTextAreaElement} field
 * @param {Typing} typing
 */
export function takeKeys(field, typing) {
  let isComposing = false;
  const take = () => {
    typing.text(field.value);
    field.value = "";
  };
  field.addEventListener("compositionstart", () => (isComposing = true));
  field.addEventListener("compositionend", () => {
    isComposing = false;
    take();
  });
  field.addEventListener("input", () => isComposing || take());
  field.addEventListener("blur", () => typing.flush());
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || isComposing || event.metaKey) return;
    event.stopPropagation(); // the page's own keys are not meant
    if (event.key === "Escape") field.blur();
    else if (!press(event, typing)) return;
    event.preventDefault();
  });
}

/** Takes a key that is none of text's; returns whether it was one. */
function press(event, typing) {
  const held = heldOf(event);
  const isText = event.key.length === 1 && (!(event.ctrlKey || event.altKey) || event.getModifierState("AltGraph"));
  if (isText || isPaste(event)) return false;
  const name = event.key.length === 1 ? event.key.toLowerCase() : (NAMES[event.key] ?? functionKey(event.key));
  if (name === undefined) return false;
  if (held.length) typing.chord([...held, name === " " ? "space" : name]);
  else typing.key(name);
  return true;
}

// What is pasted comes as text, as it comes to any field.
function isPaste({ key, ctrlKey, altKey }) {
  return ctrlKey && !altKey && key.toLowerCase() === "v";
}

function functionKey(key) {
  return /^F([1-9]|1[0-2])$/.test(key) ? key.toLowerCase() : undefined;
}

/**
 * The modifiers that are down, by the names that actions have for them.
 * @param {KeyboardEvent|MouseEvent} event
 * @returns {string[]}
 */
export function heldOf(event) {
  return ["ctrl", "alt", "shift"].filter((name) => event[`${name}Key`]);
}

/**
 * The keys of a chord as people write it: `ctrl+shift+t`, `Enter`, `ctrl++`.
 * @param {string} written
 * @returns {string[]} None when there is no key.
 */
export function chordOf(written) {
  const text = written.trim();
  const parts = text.endsWith("++") ? [...text.slice(0, -2).split("+"), "+"] : text === "+" ? ["+"] : text.split("+");
  return parts.map((part) => part.trim()).filter(Boolean);
}
