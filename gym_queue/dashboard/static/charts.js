// Time series as charts: one line style per series besides its colour, gaps where nothing was measured.

import { fill, h, setText } from "./dom.js";
import { clock } from "./format.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const HEIGHT = 148;
const WHOLE = Array.from({ length: 24 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3));
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

/**
 * @typedef {Object} Series
 * @property {string} key The column of the history.
 * @property {string} label
 * @property {number} colour From 1 to 5: a `--series-n` of the style.
 * @property {boolean} [area] Whether it is filled below.
 */

/** A chart over the last hour. Put its `element` on the page. */
export class Chart {
  /**
   * @param {{title: string, series: Series[], format: (value: number) => string, whole?: boolean}} options `whole`: its
   *   values are counts, which have no fractions.
   */
  constructor({ title, series, format, whole = false }) {
    this._title = title;
    this._series = series;
    this._format = format;
    this._whole = whole;
    this._data = null;
    this._plot = null;
    this._values = series.map(() => h("b", {}));
    this._box = h("div", { class: "chart-box", role: "img", "aria-label": `${title}, last hour` });
    /** The chart's element. */
    this.element = h("figure", { class: "card chart" }, h("figcaption", {}, h("h2", {}, title), this._legend()), this._box);
    this._sizes = new ResizeObserver(() => this._resize());
    this._sizes.observe(this._box);
    this._onTheme = () => this._draw();
    document.addEventListener("themechange", this._onTheme);
  }

  _legend() {
    const item = ({ label, colour }, at) => h(
      "li", {},
      h("i", { class: `key key-${at}`, vars: { "--colour": `var(--series-${colour})` }, "aria-hidden": "true" }),
      h("span", {}, label), this._values[at],
    );
    return h("ul", { class: "legend" }, this._series.map(item));
  }

  /**
   * Shows a history.
   * @param {Object<string, (number|null)[]>} columns `at` (unix seconds) and one for each series; missing ones are empty.
   */
  update(columns) {
    const at = columns.at ?? [];
    this._data = [at, ...this._series.map(({ key }) => columns[key] ?? at.map(() => null))];
    this._tell(at.length - 1);
    this._box.setAttribute("aria-label", this._summary());
    if (this._plot) this._plot.setData(this._data);
    else this._draw();
  }

  /** Ends it. */
  destroy() {
    this._sizes.disconnect();
    document.removeEventListener("themechange", this._onTheme);
    this._plot?.destroy();
  }

  _tell(index) {
    this._series.forEach((_, at) => {
      const value = this._data?.[at + 1]?.[index];
      setText(this._values[at], typeof value === "number" ? this._format(value) : "–");
    });
  }

  _summary() {
    const parts = this._series.map(({ label }, at) => {
      const known = this._data[at + 1].filter((value) => typeof value === "number");
      if (!known.length) return `${label}: nothing measured`;
      const [least, most] = [Math.min(...known), Math.max(...known)].map(this._format);
      return `${label}: now ${this._format(known.at(-1))}, from ${least} to ${most}`;
    });
    return `${this._title}, last hour. ${parts.join(". ")}.`;
  }

  _resize() {
    const width = this._box.clientWidth;
    if (this._plot && width > 0) this._plot.setSize({ width, height: HEIGHT });
    else if (!this._plot) this._draw();
  }

  _draw() {
    this._plot?.destroy();
    this._plot = null;
    const width = this._box.clientWidth;
    if (!this._data || width === 0) return;
    fill(this._box);
    if (!this._data.slice(1).some((column) => column.some((value) => value !== null))) {
      fill(this._box, h("p", { class: "soft chart-none" }, "Nothing was measured yet"));
      return;
    }
    this._plot = new uPlot(this._options(width), this._data, this._box);
  }

  _options(width) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
      font: `11px ${colour("--font")}`,
    };
    return {
      width, height: HEIGHT, padding: [8, 8, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_plot, _least, most) => [0, Math.max(most * 1.1, this._whole ? 4 : 0) || 1] } },
      series: [{}, ...this._series.map((series, at) => lineOf(series, at, colour(`--series-${series.colour}`)))],
      axes: [
        { ...axis, values: (_plot, splits) => splits.map((value) => clock(value).slice(0, 5)), space: 64, size: 24 },
        { ...axis, values: (_plot, splits) => splits.map((value) => this._format(value)), space: 32, size: 56, ...(this._whole ? { incrs: WHOLE } : {}) },
      ],
      hooks: { setCursor: [(plot) => this._tell(plot.cursor.idx ?? this._data[0].length - 1)] },
    };
  }
}

function lineOf({ area, label }, at, stroke) {
  return { label, stroke, width: 1.5, dash: DASHES[at % DASHES.length], fill: area ? `${stroke}22` : undefined, points: { show: false }, spanGaps: false };
}
