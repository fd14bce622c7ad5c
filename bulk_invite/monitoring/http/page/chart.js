// Calls per second over time: allowed, made, estimated quota, throttled.

import { byId, draw, make, say } from "./dom.js";
import { clock, perSecond, time } from "./words.js";

const HEIGHT = 260;
const MARGIN = { top: 12, right: 12, bottom: 26, left: 44 };
const LINES = ["calls", "throttled", "rate", "estimated_quota"];
const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800];
const ROWS_OF_TABLE = 20;

const NOTHING = "No data yet: it appears a few seconds after the first call.";

let points = [];
let chosen = null; // index of the point shown below the chart; null: the last one
let scale = null;
let cursor = null;

export function showChart(history) {
  points = history.points.map((point) => ({ ...point, ms: Date.parse(point.at) }));
  if (chosen !== null && chosen >= points.length - 1) chosen = null;
  redraw();
  tabulate();
}

export function startChart() {
  const plot = byId("plot");
  new ResizeObserver(redraw).observe(plot);
  plot.addEventListener("pointermove", (event) => {
    choose(nearest(event.clientX - plot.getBoundingClientRect().left));
  });
  plot.addEventListener("pointerleave", () => choose(null));
  plot.addEventListener("blur", () => choose(null));
  plot.addEventListener("keydown", (event) => {
    const last = points.length - 1;
    const from = chosen ?? last;
    const page = Math.max(1, Math.round(points.length / 10));
    const steps = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1,
      PageDown: from - page, PageUp: from + page, Home: 0, End: last };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(last, steps[event.key])));
  });
}

function choose(index) {
  chosen = points.length ? index : null;
  read();
}

function nearest(x) {
  if (!scale) return null;
  let best = 0;
  points.forEach((point, index) => {
    if (Math.abs(scale.x(point.ms) - x) < Math.abs(scale.x(points[best].ms) - x)) best = index;
  });
  return best;
}

function sentence(point) {
  const { estimated_quota: estimate } = point;
  const quota = estimate === null ? "unknown" : `about ${perSecond(estimate)}`;
  return `${clock(point.ms)}: allowed ${perSecond(point.rate)}, made ${perSecond(point.calls)}, ` +
    `quota ${quota}, throttled ${perSecond(point.throttled)} per second`;
}

function read() {
  if (!points.length) {
    say("readout", NOTHING);
    byId("plot").setAttribute("aria-valuetext", NOTHING);
    return;
  }
  const last = points.length - 1;
  const index = chosen ?? last;
  say("readout", sentence(points[index]));
  const plot = byId("plot");
  plot.setAttribute("aria-valuemax", String(last));
  plot.setAttribute("aria-valuenow", String(index));
  plot.setAttribute("aria-valuetext", sentence(points[index]));
  if (!cursor) return;
  const x = String(scale.x(points[index].ms));
  for (const [name, value] of [["x1", x], ["x2", x], ["class", chosen === null ? "cursor off" : "cursor"]]) {
    cursor.setAttribute(name, value);
  }
}

/** 1, 2 or 5 times a power of ten, for about five grid lines. */
function niceStep(top) {
  const rough = top / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

function measure(width) {
  const top = Math.max(1, ...points.flatMap((point) => LINES.map((name) => point[name] ?? 0)));
  const step = niceStep(top * 1.05);
  const ceiling = Math.ceil((top * 1.05) / step) * step;
  const first = points[0].ms;
  const span = Math.max(1, points.at(-1).ms - first);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  return {
    step, ceiling, first, span, width,
    x: (ms) => MARGIN.left + ((ms - first) / span) * inner.width,
    y: (value) => MARGIN.top + inner.height * (1 - value / ceiling),
    ticks: Math.max(2, Math.floor(inner.width / 90)),
  };
}

function axes() {
  const parts = [];
  for (let value = 0; value <= scale.ceiling * 1.0001; value += scale.step) {
    const y = scale.y(value);
    const [x1, x2] = [MARGIN.left, scale.width - MARGIN.right];
    parts.push(draw("line", { class: "grid", x1, x2, y1: y, y2: y }));
    const label = String(Number(value.toPrecision(6)));
    parts.push(draw("text", { class: "tick", x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, label));
  }
  const step = (STEPS.find((s) => scale.span / 1000 / s <= scale.ticks) ?? 604_800) * 1000;
  const zone = new Date(scale.first).getTimezoneOffset() * 60_000;
  const begin = Math.ceil((scale.first - zone) / step) * step + zone;
  for (let at = begin; at <= scale.first + scale.span; at += step) {
    const x = scale.x(at);
    const label = step < 60_000 ? clock(at) : time(at).replace(/^\w+ /, step < 86_400_000 ? "" : "$&");
    const anchor = x > scale.width - 50 ? "end" : x < MARGIN.left + 20 ? "start" : "middle";
    parts.push(draw("line", { class: "grid", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    parts.push(draw("text", { class: "tick", x, y: HEIGHT - 8, "text-anchor": anchor }, label));
  }
  return parts;
}

/** A path through the points, with gaps where the value is unknown. */
function path(name) {
  let pen = "M";
  const steps = points.map((point) => {
    if (point[name] === null) {
      pen = "M";
      return "";
    }
    const step = `${pen}${scale.x(point.ms).toFixed(1)} ${scale.y(point[name]).toFixed(1)}`;
    pen = "L";
    return step;
  });
  return steps.join("");
}

function area(name) {
  const [left, right, floor] = [scale.x(points[0].ms), scale.x(points.at(-1).ms), scale.y(0)];
  return `${path(name)}L${right.toFixed(1)} ${floor}L${left.toFixed(1)} ${floor}Z`;
}

function redraw() {
  const plot = byId("plot");
  const width = plot.clientWidth;
  if (!points.length || width < 100) {
    plot.replaceChildren();
    cursor = scale = null;
    read();
    return;
  }
  scale = measure(width);
  cursor = draw("line", { class: "cursor off", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
  const lines = LINES.map((name) => draw("path", { class: name, d: path(name) }));
  const areas = ["calls", "throttled"].map((name) => draw("path", { class: `${name} area`, d: area(name) }));
  const attributes = { width, height: HEIGHT, "aria-hidden": "true" };
  plot.replaceChildren(draw("svg", attributes, ...axes(), ...areas, ...lines, cursor));
  read();
}

function tabulate() {
  if (!points.length) {
    byId("points").replaceChildren();
    say("chart-summary", "");
    return;
  }
  const [first, last] = [points[0], points.at(-1)];
  const rates = points.map((point) => point.rate);
  const range = `between ${perSecond(Math.min(...rates))} and ${perSecond(Math.max(...rates))}`;
  const span = `From ${time(first.ms)} to ${time(last.ms)}`;
  say("chart-summary", `${span}, the allowed rate was ${range} calls per second. Latest: ${sentence(last)}.`);
  const every = Math.max(1, Math.ceil(points.length / ROWS_OF_TABLE));
  const listed = points.filter((_, index) => (points.length - 1 - index) % every === 0).reverse();
  byId("points").replaceChildren(...listed.map((point) => make("tr", {},
    make("th", { scope: "row" }, clock(point.ms)),
    ...["rate", "calls", "estimated_quota", "throttled"].map((name) =>
      make("td", {}, point[name] === null ? "–" : perSecond(point[name]))))));
}
