// The drawing of the history: two panels over one axis of time.

import { svg } from "../core/dom.js";

/** What the lines are of. */
export const SERIES = [
  { name: "queued", words: "Chunks waiting" },
  { name: "processing", words: "Chunks in work" },
  { name: "workers", words: "Chunk workers" },
];

const LEFT = 40;
const RIGHT = 8;
const TOP = 10;
const LINES_HIGH = 150;
const GAP = 22;
const BARS_HIGH = 54;
const BOTTOM = 24;
const HOUR_MS = 3_600_000;
const TICK_HOURS = { 1: 0.25, 6: 1, 24: 4, 48: 8 };
const NARROW_PX = 480;

/** An <svg> of `history` ([{ms, queued, processing, workers, completed_chunks}], oldest first) over the last `hours`. */
export function drawn(history, width, hours) {
  const until = Math.max(Date.now(), history.at(-1).ms);
  const from = until - hours * HOUR_MS;
  const x = (ms) => LEFT + ((ms - from) / (until - from)) * (width - LEFT - RIGHT);
  const top = nice(Math.max(1, ...history.flatMap((point) => SERIES.map(({ name }) => point[name]))));
  const most = nice(Math.max(1, ...history.map((point) => point.completed_chunks)));
  const y = (value) => TOP + LINES_HIGH * (1 - value / top);
  const floor = TOP + LINES_HIGH + GAP + BARS_HIGH;
  const height = floor + BOTTOM;
  const step = stepOf(history);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    grid(width, [[y(0), 0], [y(top / 2), top / 2], [y(top), top], [floor, 0], [floor - BARS_HIGH, most]]),
    times(from, until, x, floor, TICK_HOURS[hours] * (width < NARROW_PX ? 2 : 1)),
    bars(history, x, floor, most, step),
    SERIES.map(({ name }) => svg("path", { class: `line ${name}`, d: path(history, name, x, y, step) })),
  );
}

/** The usual time between two points. */
function stepOf(history) {
  const steps = history.slice(1).map((point, i) => point.ms - history[i].ms);
  return steps.length ? Math.min(...steps) : 60_000;
}

/** Broken where nobody wrote anything down. */
function path(history, name, x, y, step) {
  let before = -Infinity;
  const pieces = history.map((point) => {
    const move = point.ms - before > 2.5 * step ? "M" : "L";
    before = point.ms;
    return `${move}${x(point.ms).toFixed(1)} ${y(point[name]).toFixed(1)}`;
  });
  return pieces.length === 1 ? `${pieces[0]}h1` : pieces.join("");
}

function bars(history, x, floor, most, step) {
  return history
    .filter((point) => point.completed_chunks > 0)
    .map((point) => {
      const high = (BARS_HIGH * point.completed_chunks) / most;
      const wide = Math.max(1, x(point.ms + step) - x(point.ms) - 1);
      return svg("rect", { class: "bar", x: x(point.ms).toFixed(1), y: (floor - high).toFixed(1), width: wide.toFixed(1), height: high.toFixed(1) });
    });
}

function grid(width, lines) {
  return lines.map(([at, value]) => [
    svg("path", { class: "grid", d: `M${LEFT} ${at}H${width - RIGHT}` }),
    svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, Number.isInteger(value) ? String(value) : value.toFixed(1)),
  ]);
}

function times(from, until, x, floor, tickHours) {
  const tick = tickHours * HOUR_MS;
  const offset = new Date(until).getTimezoneOffset() * 60_000; // whole hours of the clock on the wall
  const format = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const found = [];
  for (let at = Math.ceil((from - offset) / tick) * tick + offset; at <= until; at += tick) {
    const place = x(at);
    if (place < LEFT + 16 || place > x(until) - 16) continue;
    found.push(svg("path", { class: "grid", d: `M${place.toFixed(1)} ${TOP}V${floor}` }));
    found.push(svg("text", { x: place.toFixed(1), y: floor + 17, "text-anchor": "middle" }, format.format(at)));
  }
  return found;
}

/** The next of 1, 2, 5, 10, 20, … */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
