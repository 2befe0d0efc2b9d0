/**
 * Charts as SVG: curves, bands and rules over axes with units, read by pointer and by arrow keys. What they show is
 * also said: the reading stands as text below, in a place of its own. Not by uPlot, which draws on a canvas: it is not
 * read by keys, does not follow the theme by itself, and prints as pixels.
 */

import { h, svg } from "./dom.js";
import { number } from "./format.js";

/**
 * @typedef {object} Spec
 * @property {{label?: string, format?: (x: number) => string, min?: number, max?: number, whole?: boolean}} x
 * @property {{label?: string, format?: (y: number) => string, min?: number, max?: number, log?: boolean}} y
 * @property {{name: string, colour?: string, points: [number, number | null][], dashed?: boolean, faint?: boolean,
 *   dots?: boolean}[]} lines a null breaks a curve
 * @property {{name?: string, colour?: string, opacity?: number, points: [number, number, number][]}[]} [bands] x, low,
 *   high
 * @property {{x: number, label?: string}[]} [rules] upright lines
 * @property {(x: number) => string} [read] what is said at an x; by default the values of all lines there
 */

/** curves of one chart that can still be told apart */
export const CURVES = 6;
const LETTER = 6.6;
const TOP = 22,
  RIGHT = 12;
/** below the axis: its ticks, and a line more for what it is called */
const below = ({ label }) => (label ? 40 : 24);

/**
 * @param {{testid: string, label: string, height?: number, idle?: string, reads?: (x: number | null) => void}} options
 *   `idle`: what stands below while nothing is read
 * @returns {{root: HTMLElement, draw: (spec: Spec) => void, point: (x: number | null) => void}} `point` reads an x from
 *   elsewhere
 */
export function chart({ testid, label, height = 230, idle = "", reads }) {
  const picture = svg("svg", { "aria-hidden": "true", height, width: "100%" });
  const reading = h("p", { class: "reading soft", role: "status", "data-testid": `${testid}-reading` }, idle);
  const frame = h(
    "div",
    {
      class: "frame",
      tabindex: "0",
      role: "group",
      "aria-label": `${label}. Arrow keys read it.`,
      "data-testid": testid,
    },
    picture,
  );
  const key = h("p", { class: "key soft" });
  let spec = null,
    view = null,
    at = null;

  function paint() {
    const width = frame.clientWidth;
    if (!spec || !width) return;
    view = scales(spec, width, height);
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.replaceChildren(...axes(spec, view), ...shapes(spec, view), view.cross);
    move(at);
  }

  function move(x) {
    at = x;
    if (!view) return;
    const known = x !== null && view.xs.length > 0;
    const near = known ? nearest(view.xs, x) : null;
    view.cross.replaceChildren(...(known ? crossing(spec, view, near) : []));
    reading.textContent = known ? (spec.read ?? ((v) => standard(spec, v)))(near) : idle;
    reads?.(near);
  }

  frame.addEventListener("pointermove", (event) => {
    if (view) move(view.unx(event.clientX - frame.getBoundingClientRect().left));
  });
  frame.addEventListener("pointerleave", () => move(null));
  frame.addEventListener("blur", () => move(null));
  frame.addEventListener("keydown", (event) => {
    const xs = view?.xs ?? [];
    const now = at === null ? -1 : xs.indexOf(nearest(xs, at));
    const to = { ArrowRight: now + 1, ArrowLeft: now < 0 ? xs.length - 1 : now - 1, Home: 0, End: xs.length - 1 }[
      event.key
    ];
    if (event.key === "Escape") move(null);
    if (to === undefined || !xs.length) return;
    event.preventDefault();
    move(xs[Math.max(0, Math.min(xs.length - 1, to))]);
  });
  new ResizeObserver(paint).observe(frame);

  return {
    root: h("figure", { class: "chart" }, frame, h("figcaption", {}, key, reading)),
    draw(given) {
      spec = given;
      const named = [...(given.lines.length > 1 ? given.lines : []), ...(given.bands ?? [])];
      key.replaceChildren(...named.filter(({ name }) => name).map(sample));
      paint();
    },
    point: move,
  };
}

const sample = ({ name, colour = "var(--accent)", dashed, opacity }) => {
  const look = opacity ? " band" : dashed ? " dashed" : "";
  return h("span", { class: `sample${look}`, style: { "--hue": colour, "--strength": opacity ?? 1 } }, name);
};

function scales({ x, y, lines, bands = [] }, width, height) {
  const points = lines.flatMap((line) => line.points.filter(([, v]) => v !== null && Number.isFinite(v)));
  const across = [...points.map(([v]) => v), ...bands.flatMap((band) => band.points.map(([v]) => v))];
  const up = [...points.map(([, v]) => v), ...bands.flatMap((band) => band.points.flatMap(([, a, b]) => [a, b]))];
  const usable = y.log ? up.filter((v) => v > 0) : up;
  const [x0, x1] = spread(x.min ?? least(across), x.max ?? most(across));
  const low = y.min ?? least(usable),
    high = y.max ?? most(usable);
  const ticks = y.log ? decades(low, high) : steps(low, high, Math.max(2, Math.floor((height - TOP - below(x)) / 44)));
  const [y0, y1] = spread(
    Math.min(y.min ?? Infinity, y.log ? low : ticks[0]),
    Math.max(y.max ?? -Infinity, y.log ? high : ticks.at(-1)),
  );
  const told = y.format ?? number;
  const left = 10 + LETTER * Math.max(...ticks.map((tick) => told(tick).length), 2);
  const bend = y.log ? Math.log : (v) => v;
  const wide = width - left - RIGHT,
    tall = height - TOP - below(x);
  return {
    width,
    height,
    left,
    ticks: ticks.filter((tick) => tick >= y0 && tick <= y1),
    told,
    xs: [...new Set(across)].sort((a, b) => a - b),
    x0,
    x1,
    px: (v) => left + (wide * (v - x0)) / (x1 - x0),
    py: (v) => TOP + tall * (1 - (bend(v) - bend(y0)) / (bend(y1) - bend(y0))),
    unx: (p) => x0 + ((p - left) * (x1 - x0)) / wide,
    cross: svg("g", { class: "cross" }),
  };
}

function axes({ x, y, rules = [] }, view) {
  const { px, py, left, width, height } = view;
  const format = x.format ?? number;
  const bottom = height - below(x);
  const lines = view.ticks.map((tick) =>
    svg(
      "g",
      {},
      svg("line", { class: "grid", x1: left, x2: width - RIGHT, y1: py(tick), y2: py(tick) }),
      svg("text", { class: "tick", x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, view.told(tick)),
    ),
  );
  const longest = Math.max(format(view.x0).length, format(view.x1).length, 3);
  const room = Math.max(2, Math.floor((width - left) / (LETTER * longest + 22)));
  let free = -Infinity;
  const ticks = steps(view.x0, view.x1, Math.min(room, 8))
    .filter((tick) => tick >= view.x0 - 1e-9 && tick <= view.x1 + 1e-9)
    .filter((tick) => !x.whole || Number.isInteger(tick))
    .flatMap((tick) => {
      const text = format(tick),
        half = (LETTER * text.length) / 2;
      const middle = Math.min(Math.max(px(tick), left + half - 4), width - half - 2);
      if (!text || middle - half < free) return [];
      free = middle + half + 8;
      return [svg("text", { class: "tick", x: middle, y: bottom + 17, "text-anchor": "middle" }, text)];
    });
  const upright = rules
    .flatMap((rule) => [
      svg("line", { class: "rule", x1: px(rule.x), x2: px(rule.x), y1: TOP, y2: bottom }),
      rule.label && svg("text", { class: "tick", x: px(rule.x) - 5, y: TOP + 10, "text-anchor": "end" }, rule.label),
    ])
    .filter(Boolean);
  const named = [
    y.label && svg("text", { class: "axis", x: 2, y: 12 }, y.label),
    x.label && svg("text", { class: "axis", x: width - RIGHT, y: height - 4, "text-anchor": "end" }, x.label),
  ].filter(Boolean);
  return [...lines, ...ticks, ...upright, ...named];
}

function shapes({ lines, bands = [] }, { px, py }) {
  const place = (v, w) => `${px(v).toFixed(1)},${py(w).toFixed(1)}`;
  const areas = bands.map(({ colour = "var(--accent)", opacity = 0.2, points }) =>
    svg("polygon", {
      points: [
        ...points.map(([v, , high]) => place(v, high)),
        ...points.toReversed().map(([v, low]) => place(v, low)),
      ].join(" "),
      style: { fill: colour, opacity },
    }),
  );
  const curves = lines.flatMap(({ colour = "var(--accent)", points, dashed, faint, dots }) => [
    ...runs(points).map((run) =>
      svg("polyline", {
        class: `curve${dashed ? " dashed" : ""}${faint ? " faint" : ""}`,
        style: { stroke: colour },
        points: run.map(([v, w]) => place(v, w)).join(" "),
      }),
    ),
    ...(dots
      ? points
      : runs(points)
          .filter((run) => run.length === 1)
          .flat()
    )
      .filter(([, w]) => w !== null)
      .map(([v, w]) => svg("circle", { class: "spot", cx: px(v), cy: py(w), r: 2.5, style: { fill: colour } })),
  ]);
  return [...areas, ...curves];
}

function crossing({ x: axis, lines }, { px, py, height }, x) {
  const spots = lines.flatMap(({ colour = "var(--accent)", points }) =>
    points
      .filter(([v, w]) => v === x && w !== null)
      .map(([, w]) => svg("circle", { class: "spot", cx: px(x), cy: py(w), r: 4, style: { fill: colour } })),
  );
  return [svg("line", { class: "hair", x1: px(x), x2: px(x), y1: TOP, y2: height - below(axis) }), ...spots];
}

function standard({ x, y, lines }, at) {
  const said = lines.flatMap(({ name, points }) =>
    points
      .filter(([v, w]) => v === at && w !== null)
      .map(([, w]) => `${name ? `${name} ` : ""}${(y.format ?? number)(w)}`),
  );
  return [(x.format ?? number)(at), ...said].join(" · ");
}

/** Pieces without gaps; a y that is null or not a number is one. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point[1] !== null && Number.isFinite(point[1])) found.at(-1).push(point);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((run) => run.length);
}

const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

function spread(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

/** Round values from at or below `low` to at or above `high`, about `count` of them. */
export function steps(low, high, count) {
  const [from, to] = spread(low, high);
  const rough = (to - from) / count,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((one) => one * power >= rough * 0.999) ?? 10);
  const first = Math.floor(from / step + 1e-9),
    last = Math.ceil(to / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, n) => Number(((first + n) * step).toPrecision(12)));
}

function decades(low, high) {
  const [from, to] = spread(Math.log10(low), Math.log10(high));
  const found = [];
  for (let p = Math.floor(from); p <= Math.ceil(to); p += 1)
    found.push(...(to - from > 1.5 ? [1] : [1, 2, 5]).map((m) => m * 10 ** p));
  return found.map((v) => Number(v.toPrecision(6)));
}

function nearest(xs, x) {
  return xs.reduce((best, one) => (Math.abs(one - x) < Math.abs(best - x) ? one : best), xs[0]);
}
