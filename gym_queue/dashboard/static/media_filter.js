// A row of fields that filter a list; the address holds what they say.

import { debounce, h } from "./dom.js";
import { icon } from "./icons.js";

const TYPING_MS = 250;

/**
 * @typedef {Object} Field
 * @property {string} name The parameter in the address.
 * @property {string} label
 * @property {Array<[string, string]>} [options] Values with their words; a text field without them.
 * @property {boolean} [isMain] Whether the key `/` goes to it.
 */

/**
 * Makes the fields.
 * @param {Field[]} fields
 * @param {Object<string, string>} params What they show at first.
 * @param {(changes: Object<string, string>) => void} onChange
 * @returns {{element: HTMLElement, show: (params: Object<string, string>) => void}}
 */
export function filterBar(fields, params, onChange) {
  const inputs = fields.map((field) => [field, field.options ? choice(field, onChange) : text(field, onChange)]);
  const show = (next) => {
    for (const [field, input] of inputs) {
      if (input !== document.activeElement) take(field, input, next[field.name] ?? "");
      input.classList.toggle("is-set", Boolean(next[field.name]));
    }
  };
  show(params);
  return {
    element: h(
      "div",
      { class: "bar media-bar", role: "search" },
      inputs.map(([field, input]) => framed(field, input)),
    ),
    show,
  };
}

// A value that the address names stays offered, though this page may not know it.
function take({ options }, input, value) {
  const isKnown = !options || [...input.options].some((option) => option.value === value);
  if (!isKnown) input.append(h("option", { value }, value));
  input.value = value;
}

function choice({ name, label, options }, onChange) {
  const onchange = (event) => onChange({ [name]: event.target.value });
  return h(
    "select",
    { "aria-label": label, onchange },
    options.map(([value, words]) => h("option", { value }, words)),
  );
}

function text({ name, label, isMain }, onChange) {
  // A view that was left meanwhile must not change the address of the next one.
  const tell = debounce(TYPING_MS, (value) => input.isConnected && onChange({ [name]: value }));
  const props = {
    type: "search",
    maxlength: "200",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: label,
    "aria-label": label,
  };
  const oninput = (event) => tell(event.target.value.trim());
  const input = h("input", { ...props, "data-filter": isMain ?? null, oninput });
  return input;
}

function framed({ isMain }, input) {
  if (!isMain) return input;
  return h("label", { class: "search" }, icon("search"), input, h("kbd", { "aria-hidden": "true" }, "/"));
}
