// Small pieces that the views of environments and episodes share: lists that keep their elements, facts, files.

import { fill, h } from "./dom.js";
import { bytes, time } from "./format.js";

// A point, which stands on four lines; a string holds no bare newline, so it is never taken for one.
const PAIR = /\[\n\s+(-?[\d.]+),\n\s+(-?[\d.]+)\n\s+\]/g;

/**
 * Shows items in order, keeping the elements of those that stay, so that what is open or selected stays so.
 * @param {Element} container
 * @param {Object[]} items
 * @param {(item: Object) => string} keyOf
 * @param {(item: Object) => Element} make
 * @param {(item: Object) => string} [stampOf] An item whose stamp differs is made anew.
 */
export function keyed(container, items, keyOf, make, stampOf = () => "") {
  const before = new Map([...container.children].map((element) => [element.dataset.key, element]));
  let at = container.firstElementChild;
  for (const item of items) {
    const [key, stamp] = [keyOf(item), stampOf(item)];
    let element = before.get(key);
    before.delete(key);
    if (element && element.dataset.stamp !== stamp) {
      const made = renew(element, make(item));
      if (element === at) at = made;
      element = made;
    }
    element ??= make(item);
    Object.assign(element.dataset, { key, stamp });
    if (element === at) at = at.nextElementSibling;
    else container.insertBefore(element, at);
  }
  for (const element of before.values()) element.remove();
}

function renew(old, element) {
  if (old.open) element.open = true;
  const hadFocus = old.contains(document.activeElement);
  old.replaceWith(element);
  if (hadFocus) (element.querySelector("summary, button, a") ?? element).focus();
  return element;
}

/**
 * Facts as a list of terms; those without a value are left out.
 * @param {Array<[string, Node|string|number|null|undefined]>} facts
 * @returns {HTMLElement}
 */
export function factList(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    { class: "facts" },
    known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/**
 * Any value as indented JSON, cut when it is long.
 * @param {unknown} value
 * @returns {HTMLElement}
 */
export function jsonBlock(value, most = 20_000) {
  const text = (JSON.stringify(value, null, 2) ?? "null").replace(PAIR, "[$1, $2]");
  const shown = text.length > most ? `${text.slice(0, most)}\n… ${bytes(text.length - most)} more, not shown` : text;
  return h("pre", { class: "json", tabindex: "0" }, shown);
}

/**
 * Files with their sizes, to be downloaded.
 * @param {Array<{path: string, size_bytes: number, modified?: number}>} files
 * @param {{urlOf: (path: string) => string, now: number}} options
 * @returns {HTMLElement}
 */
export function fileTable(files, { urlOf, now }) {
  const row = (file) =>
    h(
      "tr",
      {},
      h("td", {}, h("a", { href: urlOf(file.path), download: file.path.split("/").pop() }, file.path)),
      h("td", { class: "end" }, bytes(file.size_bytes)),
      h("td", {}, time(file.modified ?? null, now)),
    );
  const heads = [
    h("th", { scope: "col" }, "File"),
    h("th", { scope: "col", class: "end" }, "Size"),
    h("th", { scope: "col" }, "Modified"),
  ];
  return h("table", { class: "files" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, files.map(row)));
}

/**
 * Tabs over panels, of which one is shown; arrow keys go from one to the next.
 * @param {Array<{id: string, label: string, panel: HTMLElement}>} tabs
 * @param {{label: string, chosen?: string, onChoose: (id: string) => void}} options
 * @returns {{element: HTMLElement, choose: (id: string) => void, setLabel: (id: string, label: string) => void}}
 */
export function tabBar(tabs, { label, chosen, onChoose }) {
  const buttons = tabs.map(({ id, label: text, panel }) => {
    Object.assign(panel, { id: `panel-${id}`, tabIndex: 0 });
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${id}`);
    const props = {
      type: "button",
      role: "tab",
      id: `tab-${id}`,
      "aria-controls": panel.id,
      onclick: () => choose(id),
    };
    return h("button", props, text);
  });
  const list = h(
    "div",
    { class: "tabs", role: "tablist", "aria-label": label, onkeydown: (event) => turn(event) },
    buttons,
  );
  const show = (id) =>
    tabs.forEach((tab, at) => {
      const on = tab.id === id;
      buttons[at].setAttribute("aria-selected", String(on));
      buttons[at].tabIndex = on ? 0 : -1;
      tab.panel.hidden = !on;
    });
  const choose = (id) => {
    show(id);
    onChoose(id);
  };
  const turn = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    const at = (buttons.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    buttons[at].focus();
    choose(tabs[at].id);
  };
  const setLabel = (id, text) => fill(buttons[tabs.findIndex((tab) => tab.id === id)], text);
  show(tabs.some((tab) => tab.id === chosen) ? chosen : tabs[0].id);
  return {
    element: h(
      "div",
      { class: "tabbed" },
      list,
      tabs.map((tab) => tab.panel),
    ),
    choose,
    setLabel,
  };
}
