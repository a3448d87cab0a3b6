// Elements from data: whatever comes from outside becomes text, never markup.
const SVG = "http://www.w3.org/2000/svg";

function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

function svg(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)} %`);
const number = (value, digits = 1) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
const seconds = (value) => (value >= 600 ? `${number(value / 60)} min` : `${number(value)} s`);
const brief = (value) => (value < 1 ? `${number(1000 * value, 0)} ms` : seconds(value));
const dollars = (value) => (value === null || value === undefined ? "–" : `$${value.toFixed(value < 1 ? 4 : 2)}`);
const attemptName = ({ task_id, repeat }) => (repeat ? `${task_id} #${repeat + 1}` : task_id);
const fileLink = (folder, name) => [...folder.split("/"), ...name.split("/")].map(encodeURIComponent).join("/");

const KINDS = { passed: "✓ passed", failed: "✗ failed", agent: "! agent broke", lost: "⚠ not scored" };
const kindOf = (attempt) => (attempt.outcome !== "error" ? attempt.outcome : attempt.is_scored ? "agent" : "lost");
const badge = (kind) => h("span", { class: `badge ${kind}` }, KINDS[kind]);
