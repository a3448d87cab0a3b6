// The last hour as charts.

import { Chart } from "../charts.js";
import { h } from "../dom.js";
import { compact, ms, rate } from "../format.js";

const EVERY_MS = 10_000;
const CHARTS = [
  {
    title: "Environments and capacity", format: compact, whole: true,
    series: [
      { key: "ready", label: "ready", colour: 1, area: true }, { key: "used", label: "slots used", colour: 3 },
      { key: "slots", label: "slots", colour: 2 },
    ],
  },
  { title: "Queue", format: compact, whole: true, series: [{ key: "queued", label: "waiting", colour: 3, area: true }] },
  { title: "Steps per second", format: rate, series: [{ key: "steps_per_s", label: "steps", colour: 1, area: true }] },
  {
    title: "Creates and errors per second", format: rate,
    series: [{ key: "creates_per_s", label: "creates", colour: 5, area: true }, { key: "errors_per_s", label: "errors", colour: 4 }],
  },
  {
    title: "Step latency", format: ms,
    series: [{ key: "step_p50_ms", label: "p50", colour: 1 }, { key: "step_p95_ms", label: "p95", colour: 3 }],
  },
  {
    title: "Create and reset latency", format: ms,
    series: [
      { key: "create_p50_ms", label: "create p50", colour: 5 }, { key: "create_p95_ms", label: "create p95", colour: 4 },
      { key: "reset_p50_ms", label: "reset p50", colour: 2 },
    ],
  },
];

/**
 * Makes the charts, and keeps them up to date.
 * @param {Object} ctx
 * @returns {{element: HTMLElement, destroy: () => void}}
 */
export function historyCharts(ctx) {
  const charts = CHARTS.map((options) => new Chart(options));
  const note = h("p", { class: "soft", role: "status" });
  const load = async () => {
    if (document.hidden) return;
    try {
      const { series } = await ctx.api.get("api/history");
      for (const chart of charts) chart.update(series);
      note.textContent = "";
    } catch (error) {
      note.textContent = `The last hour is not brought up to date: ${error.message}`;
    }
  };
  load();
  const timer = setInterval(load, EVERY_MS);
  const end = ctx.live.subscribe("state", (state) => state === "live" && load());
  const element = h("section", { class: "block", "aria-label": "The last hour" }, h("h2", { class: "block-title" }, "Last hour"), note, h("div", { class: "charts" }, charts.map((chart) => chart.element)));
  const destroy = () => {
    clearInterval(timer);
    end();
    for (const chart of charts) chart.destroy();
  };
  return { element, destroy };
}
