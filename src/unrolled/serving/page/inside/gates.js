/** Gates and states over time: every unit as a row of a map, and one of them as a curve. */

import { chart } from "../lib/chart.js";
import { h } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { heatMap, largest } from "./heat.js";
import { cellName, clipped, quoted, short } from "./words.js";

/** letters of the names that most cells give their quantities */
const WORDS = {
  i: "input gate",
  f: "forget gate",
  g: "candidate",
  o: "output gate",
  r: "reset gate",
  z: "update gate",
  n: "candidate",
  c: "cell state",
  h: "hidden state",
  tanh_c: "tanh of the cell state",
};

export function gates() {
  const which = h("select", { "aria-label": "Gate or state", "data-testid": "inside-gate", onchange: () => draw() });
  const layerName = h("span", { class: "soft" });
  const map = heatMap({
    testid: "inside-gates",
    label: "Units over time, one row each",
    idle: "Point at the map, or use the arrow keys, to follow one unit.",
    read: (unit, t) => reading(unit, t),
    picked: (unit, t) => curveOf(unit, t),
  });
  const curve = chart({ testid: "inside-unit", label: "One unit over time", height: 150, idle: "" });
  const facts = h("p", { class: "soft", "data-testid": "inside-gate-facts" });
  let layer = null;
  let counted = null;
  let unit = 0;

  const values = () => layer.values[which.value];
  const positive = () => layer.activations[which.value] === "sigmoid";

  function reading(n, t) {
    const ends = counted?.shut?.[which.value];
    const often = ends
      ? ` · shut at ${percent(ends[n] ?? 0)}, open at ${percent(counted.open[which.value][n] ?? 0)} of the steps`
      : "";
    return `unit ${n + 1}, step ${t + 1} ${quoted(layer.steps[t])}: ${which.value} ${short(values()[t][n])}${often}`;
  }

  function curveOf(n, t = null) {
    unit = n;
    const points = values().map((row, step) => [step, row[n]]);
    const [min, max] = positive() ? [0, 1] : [undefined, undefined];
    curve.draw({
      x: { label: "step", whole: true, format: (step) => clipped(layer.steps[step] ?? "", 7) },
      y: { label: `${which.value}, unit ${n + 1}`, min, max },
      lines: [{ name: "", colour: positive() ? "var(--label-2)" : "var(--accent)", points, dots: points.length < 3 }],
      rules: t === null ? [] : [{ x: t }],
      read: (step) => reading(n, step),
    });
  }

  function draw() {
    const rows = values();
    layerName.textContent = [WORDS[which.value], `of ${layer.name}, ${cellName(layer.cell)}`].filter(Boolean).join(" ");
    map.draw({
      rows: rows[0].map((_, n) => rows.map((row) => row[n])),
      positive: positive(),
      most: largest(rows.flat()),
    });
    const saturated =
      counted?.saturated?.[which.value === "h" && "preactivation" in layer.values ? "activation" : which.value];
    const sent =
      rows[0].length < layer.hidden_size ? `The first ${rows[0].length} of ${layer.hidden_size} units. ` : "";
    const share =
      saturated === undefined
        ? ""
        : `${percent(saturated)} of the values are saturated: the activation hardly changes there.`;
    facts.textContent = `${sent}${share}`;
    curveOf(Math.min(unit, rows[0].length - 1));
  }

  const root = h(
    "section",
    { class: "block", "data-testid": "inside-gates-section" },
    h("h2", {}, "Gates and states over time"),
    h(
      "p",
      { class: "soft" },
      "One row per unit, one column per step: the state of each unit, and when its gates open.",
    ),
    h("p", { class: "row" }, which, layerName),
    map.root,
    h(
      "p",
      { class: "scale soft" },
      h("span", { class: "swatch below" }),
      "negative ",
      h("span", { class: "swatch above" }),
      "positive ",
      h("span", { class: "swatch open" }),
      "a gate, from shut to open",
    ),
    facts,
    curve.root,
  );

  return {
    root,
    /** @param {object} one a layer of the unfolding; @param {object[]} statistics the part gates */
    draw(one, statistics) {
      const before = which.value;
      layer = one;
      counted = statistics?.find((each) => each.layer === one.name) ?? null;
      const names = Object.keys(one.values);
      which.replaceChildren(...names.map((name) => h("option", {}, name)));
      which.value = names.includes(before) ? before : (names.find((name) => name === "f" || name === "z") ?? "h");
      draw();
    },
  };
}
