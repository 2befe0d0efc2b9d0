/** Numbers for each step of a signal: curves over its steps. */

import { CURVES, chart } from "../lib/chart.js";
import { h } from "../lib/dom.js";

const NOTHING = { min: 0, max: 1, format: () => "" };

export class ValuesOutput {
  hint = "Each step is answered by the steps up to it.";

  constructor({ id }) {
    this.curves = chart({ testid: `${id}-values`, label: "The answer to each step", height: 200 });
    this.root = h("section", { class: "block" }, h("h2", {}, "Answer"), this.curves.root);
    this.clear();
  }

  draw([{ values, columns }]) {
    const count = Math.min(values[0]?.length ?? 0, CURVES);
    this.curves.draw({
      x: { label: "step", whole: true, format: (n) => `${n + 1}` },
      y: {},
      lines: Array.from({ length: count }, (_, k) => ({
        name: columns[k] ?? (count > 1 ? `value ${k + 1}` : ""),
        colour: `var(--label-${k})`,
        points: values.map((row, n) => [n, row[k]]),
      })),
    });
  }

  clear() {
    this.curves.draw({ x: NOTHING, y: NOTHING, lines: [] });
  }
}
