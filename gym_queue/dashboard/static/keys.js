// Keys: `/` goes to the filter, `g` and a letter to a view, `?` tells of them.

import { tell } from "./dialog.js";
import { h } from "./dom.js";
import { VIEWS } from "./views.js";

const CHORD_MS = 1500;

/**
 * Listens to keys that are typed outside of fields.
 * @param {import("./router.js").Router} router
 */
export function listenToKeys(router) {
  let armed = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") || !document.getElementById("login").hidden) return;
    const { key } = event;
    const chord = performance.now() - armed < CHORD_MS;
    armed = key === "g" ? performance.now() : 0;
    const view = chord && Object.keys(VIEWS).find((name) => VIEWS[name].key === key);
    if (view) router.navigate(view);
    else if (key === "/") document.querySelector("[data-filter]")?.focus();
    else if (key === "?") showHelp();
    else return;
    event.preventDefault();
  });
}

/** Shows the keys that the page knows. */
export function showHelp() {
  const rows = [
    [["/"], "go to the filter"],
    [["Esc"], "close a dialog, clear the filter"],
    [["↑", "↓"], "go from row to row"],
    [["Enter"], "open the row"],
    ...Object.values(VIEWS).filter((view) => view.key).map((view) => [["g", view.key], view.label]),
    [["?"], "this list"],
  ];
  const list = rows.map(([keys, text]) => [h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, text)]);
  tell("Keys", h("dl", { class: "keys" }, list));
}

function isTyping(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}
