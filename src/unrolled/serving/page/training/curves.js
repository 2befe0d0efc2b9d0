/** The curves of a run: losses, a metric on development data, gradient norm, learning rate. */

import { chart } from "../lib/chart.js";
import { button, h } from "../lib/dom.js";
import { logarithmic } from "../inside/curves.js";
import { short } from "../inside/words.js";
import { COMMON } from "./run.js";

const READ = "Point at the curves, or use the arrow keys, to read them.";
/** points that are marked one by one */
const DOTS = 40;

const curve = (rows, key) => rows.filter((row) => key in row).map((row) => [row.step, row[key] ?? null]);
const block = (title, ...parts) => h("section", { class: "block" }, h("h2", {}, title), parts);

export class Curves {
  constructor(kept) {
    Object.assign(this, { kept, lines: [] });
    this.isLog = button("training-log", "Logarithmic", () => this.turn(), {
      class: "quiet",
      "aria-pressed": String(kept.get("log", false)),
    });
    this.loss = chart({ testid: "training-loss", label: "Loss by step", height: 260, idle: READ });
    this.norm = chart({ testid: "training-norm", label: "Gradient norm by step", height: 170 });
    this.rate = chart({ testid: "training-rate", label: "Learning rate by step", height: 150 });
    this.other = chart({ testid: "training-metric", label: "A metric on development data, by step", height: 190 });
    this.metric = h("select", {
      "aria-label": "Metric",
      "data-testid": "training-metric-name",
      onchange: () => this.draw(this.lines),
    });
    this.box = block("On development data", h("p", { class: "row" }, this.metric), this.other.root);
    const title = h("div", { class: "row" }, h("h2", {}, "Loss"), h("span", { class: "push" }, this.isLog));
    this.first = [h("section", { class: "block" }, title, this.loss.root), this.box];
    this.others = [block("Gradient norm", this.norm.root), block("Learning rate", this.rate.root)];
  }

  turn() {
    const isLog = !this.kept.get("log", false);
    this.kept.set("log", isLog);
    this.isLog.setAttribute("aria-pressed", String(isLog));
    this.draw(this.lines);
  }

  draw(lines) {
    this.lines = lines;
    const train = lines.filter(({ split }) => split === "train");
    const dev = lines.filter(({ split }) => split !== "train");
    const x = { label: "step", min: 0, format: (step) => Math.round(step).toLocaleString("en") };
    const format = (value) => short(value);
    const both = [
      { name: "training", colour: "var(--accent)", points: curve(train, "loss") },
      { name: "development", colour: "var(--label-1)", points: curve(dev, "loss"), dots: dev.length < DOTS },
    ];
    const known = both.filter(({ points }) => points.length);
    const losses = logarithmic(known, this.kept.get("log", false));
    const norms = logarithmic([{ name: "", points: curve(train, "grad_norm") }]);
    this.loss.draw({ x, y: { label: "loss", log: losses.log, format }, lines: losses.lines });
    this.norm.draw({ x, y: { label: "‖gradient‖ before clipping", log: norms.log, format }, lines: norms.lines });
    const rates = [{ name: "", points: curve(train, "lr") }];
    this.rate.draw({ x, y: { label: "learning rate", min: 0, format }, lines: rates });
    this.drawMetric(dev, x, format);
  }

  drawMetric(dev, x, format) {
    const { metric } = this;
    const isMetric = (key) => !COMMON.has(key) && dev.some((row) => typeof row[key] === "number");
    const names = [...new Set(dev.flatMap((row) => Object.keys(row)))].filter(isMetric);
    this.box.hidden = !names.length;
    if (!names.length) return;
    if (names.join() !== [...metric.options].map(({ value }) => value).join()) {
      const before = metric.value;
      metric.replaceChildren(...names.map((key) => h("option", { value: key }, key.replaceAll("_", " "))));
      metric.value = names.includes(before) ? before : names[0];
    }
    const lines = [{ name: "", colour: "var(--label-1)", points: curve(dev, metric.value), dots: true }];
    this.other.draw({ x, y: { label: metric.value.replaceAll("_", " "), format }, lines });
  }
}
