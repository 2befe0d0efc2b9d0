/** A table: rows of features, drawn as curves over their labels; or series, whose past a forecast shows. */

import { CURVES, chart } from "../lib/chart.js";
import { h } from "../lib/dom.js";
import { numbersOf, readTable } from "../lib/table.js";
import { Timeline } from "../lib/timeline.js";
import { dropZone } from "../lib/widgets.js";

export class SeriesInput {
  static reads = (example) => ["features", "values", "table"].some((key) => example && key in example);

  constructor({ id, model, changed }) {
    const [example] = model.example.inputs;
    /** whether the model reads rows, rather than tables of series */
    this.readsRows = "features" in example;
    this.hint = this.readsRows
      ? "Drop a table with a row for each step."
      : "Drop a table with a column of values, oldest first.";
    Object.assign(this, { model, changed, input: null, steps: [] });
    this.file = this.readsRows ? null : { name: "series.csv", type: "text/csv" };
    this.zone = dropZone({
      id,
      accept: ".csv,.tsv,.txt,text/csv",
      title: "Choose a table",
      hint: "or drop it here: CSV",
      taken: (file) => this.taken(file),
    });
    this.curves = chart({ testid: `${id}-rows`, label: "The features of each step", height: 150 });
    this.curves.root.hidden = true;
    this.timeline = new Timeline({ id, moved: (step) => this.curves.point(step) });
    this.root = h("div", {}, this.curves.root, this.timeline.root, this.zone.root);
  }

  get value() {
    return this.input;
  }

  async taken(file) {
    const text = await file.text();
    this.zone.name(file.name);
    if (!this.readsRows) this.file = { name: file.name, type: "text/csv" };
    this.take(this.readsRows ? { features: numbersOf(readTable(text), this.model.columns) } : { table: text });
  }

  show(input) {
    this.zone.name("");
    this.take(input);
  }

  take(input) {
    this.input = input;
    this.draw();
    this.changed(true);
  }

  clear() {
    this.zone.name("");
    this.take(null);
  }

  draw() {
    const rows = this.input?.features ?? [];
    this.curves.root.hidden = !rows.length;
    if (!rows.length) return;
    const { columns } = this.model;
    const points = (k) => rows.map((row, n) => [n, Number.isFinite(row[k]) ? row[k] : null]);
    const count = Math.min(rows[0].length, CURVES);
    this.curves.draw({
      x: { label: "step", whole: true, format: (n) => `${n + 1}` },
      y: {},
      lines: Array.from({ length: count }, (_, k) => ({
        name: columns[k] ?? (count > 1 ? `column ${k + 1}` : ""),
        colour: `var(--label-${k})`,
        points: points(k),
      })),
    });
  }

  mark(steps, rate) {
    this.steps = steps;
    this.timeline.draw(steps, rate ?? null);
  }

  seek(step) {
    this.timeline.go(step);
  }
}
