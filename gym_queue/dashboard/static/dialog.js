// Dialogs: a question before an act, and a drawer for details. Escape closes both, and the focus goes back.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Asks before acting.
 * @param {{title: string, text: string|Node, action: string, danger?: boolean}} question `action` names the act on
 *   its button: "Drain", not "OK".
 * @returns {Promise<boolean>} Whether to go on.
 */
export function confirm({ title, text, action, danger = false }) {
  return new Promise((resolve) => {
    const close = (value) => () => dialog.close(value);
    const dialog = h(
      "dialog",
      { class: "ask", "aria-labelledby": "ask-title", onclose: () => finish() },
      h("h2", { id: "ask-title" }, title),
      h("p", {}, text),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", onclick: close("") }, "Keep as it is"),
        h("button", { type: "button", class: danger ? "danger" : "primary", onclick: close("yes") }, action),
      ),
    );
    const finish = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
    open(dialog);
  });
}

/**
 * Opens a drawer with details at the side of the page.
 * @param {{title: string|Node, label: string, onClose?: Function}} options `label` is what it is called to those
 *   who do not see it.
 * @returns {{body: HTMLElement, setTitle: (title: string|Node) => void, close: () => void}} Fill its `body`.
 */
export function drawer({ title, label, onClose }) {
  const heading = h("h2", {}, title);
  const body = h("div", { class: "drawer-body" });
  const dialog = h(
    "dialog",
    { class: "drawer", "aria-label": label },
    h("header", {}, heading, closeButton(() => dialog.close())),
    body,
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // its backdrop
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose?.();
  });
  open(dialog);
  return { body, setTitle: (next) => fill(heading, next), close: () => dialog.close() };
}

/**
 * Opens a dialog that only tells something.
 * @param {string} title
 * @param {...(Node|string)} content
 */
export function tell(title, ...content) {
  const dialog = h(
    "dialog",
    { class: "ask", "aria-label": title, onclose: () => dialog.remove() },
    h("header", {}, h("h2", {}, title), closeButton(() => dialog.close())),
    ...content,
  );
  open(dialog);
}

function closeButton(onclick) {
  return h("button", { type: "button", class: "icon-button", "aria-label": "Close", title: "Close (Esc)", onclick }, icon("close"));
}

function open(dialog) {
  document.body.append(dialog);
  dialog.showModal();
}
