// Elements from data. Whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";
const AS_PROPERTY = new Set(["value", "checked", "indeterminate"]);

/**
 * Makes an HTML element.
 * @param {string} tag
 * @param {Object} [props] Attributes; `class`, `dataset` (object), `vars` (custom properties or styles, set by
 *   script), `on<event>` (a listener), true for an attribute without a value, null and false for none.
 * @param {...(Node|string|number|null|false|Array)} children Strings and numbers become text.
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  return build(document.createElement(tag), props, children);
}

/**
 * Makes an SVG element, as `h` does.
 * @returns {SVGElement}
 */
export function svg(tag, props = {}, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) apply(element, name, value);
  element.append(...flat(children));
  return element;
}

function apply(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2).toLowerCase(), value);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "vars") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
  else if (AS_PROPERTY.has(name)) element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Replaces all that an element holds.
 * @param {Element} element
 * @param {...(Node|string|number|null|false|Array)} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
}

/**
 * Replaces what an element holds where it differs: a selection and the focus outlive what stays the same.
 * @param {Element} element
 * @param {...(Node|string|number|null|false|Array)} children
 */
export function renew(element, ...children) {
  const next = flat(children);
  const now = [...element.childNodes];
  if (now.length !== next.length) return element.replaceChildren(...next);
  next.forEach((node, at) => {
    if (!(node instanceof Node) || !now[at].isEqualNode(node)) now[at].replaceWith(node);
  });
}

/**
 * Sets an element's text only when it differs, so that a selection outlives an update.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Calls a function at most once per period, the last call never lost.
 * @param {number} ms
 * @param {Function} fn
 * @returns {Function & {cancel: Function}}
 */
export function throttle(ms, fn) {
  let timer = 0;
  let last = -Infinity;
  const run = () => {
    timer = 0;
    last = performance.now();
    fn();
  };
  const call = () => {
    if (!timer) timer = setTimeout(run, Math.max(0, last + ms - performance.now()));
  };
  call.cancel = () => {
    clearTimeout(timer);
    timer = 0;
  };
  return call;
}

/**
 * Calls a function once nobody has called for a while.
 * @param {number} ms
 * @param {Function} fn
 * @returns {Function & {cancel: Function}}
 */
export function debounce(ms, fn) {
  let timer = 0;
  const call = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...args), ms);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}
