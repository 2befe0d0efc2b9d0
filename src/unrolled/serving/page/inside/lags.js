/** Gradients over time: how much of the error is left so many steps back, for each layer, and what to make of it. */

import { chart } from "../lib/chart.js";
import { h } from "../lib/dom.js";
import { logarithmic } from "./curves.js";
import { verdictOf } from "./verdicts.js";
import { short } from "./words.js";

/** the layers that are shown, the last ones */
const LAYERS = 8;

export function lags() {
  const curve = chart({
    testid: "inside-lags",
    label: "Error remaining, by steps back",
    idle: "Point at the curves to read them.",
  });
  const verdicts = h("ul", { class: "verdicts", "data-testid": "inside-verdicts" });
  return {
    root: h(
      "section",
      { class: "block" },
      h("h2", {}, "Gradients over time"),
      h(
        "p",
        { class: "soft" },
        "How much of the error remains so many steps back: a network learns from steps that some of it still reaches.",
      ),
      curve.root,
      verdicts,
    ),
    /** @param {object} part gradients */
    draw({ layers, norms, verdicts: found }) {
      const names = layers.slice(-LAYERS);
      const { lines, log } = logarithmic(
        names.map((name, n) => ({
          name,
          colour: `var(--label-${n})`,
          points: shares(norms[name]),
          dots: norms[name].length < 2,
        })),
      );
      curve.draw({
        x: { label: "steps back", whole: true, min: 0 },
        y: { label: "share of the error", log, format: short },
        lines,
      });
      verdicts.replaceChildren(...found.map(verdictOf));
    },
  };
}

const shares = (norms) => norms.map((value, lag) => [lag, norms[0] ? value / norms[0] : null]);
