// Light, dark, or as the system has it; kept by the browser.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

const KEY = "gym-queue-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

/** @returns {"auto"|"light"|"dark"} */
function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

/**
 * Makes the button that goes from one theme to the next.
 * @param {() => void} onChange Called after each change; also when the system's own theme changes.
 * @returns {HTMLElement}
 */
export function themeButton(onChange) {
  const button = h("button", { type: "button", class: "icon-button", onclick: () => turn(button, onChange) });
  label(button);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  return button;
}

function turn(button, onChange) {
  const next = NEXT[theme()];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing shows the theme until it is closed.
  }
  label(button);
  onChange();
}

function label(button) {
  fill(button, icon(`theme-${theme()}`));
  const text = `Theme: ${theme()}`;
  button.setAttribute("aria-label", `${text}; change to ${NEXT[theme()]}`);
  button.title = text;
}
