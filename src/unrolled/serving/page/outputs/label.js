/** One label: how probable it and the others are, how that came about step by step, and which words moved it. */

import { CURVES, chart } from "../lib/chart.js";
import { h, later, onlyLast } from "../lib/dom.js";
import { colours, percent, signed, spelled } from "../lib/format.js";
import { bars, verdict } from "../lib/widgets.js";
import { Steps, stepsOf } from "./steps.js";

/** labels that are shown */
const ROWS = 10;
/** milliseconds without a letter before attributions are asked for */
const WAIT = 500;
const METHOD = "integrated gradients";

export class LabelOutput {
  options = { words: true };

  constructor({ id, model, api, input }) {
    Object.assign(this, { model, api, input, steps: new Steps(), lit: null, share: null });
    this.colour = colours(model.labels.toSorted());
    this.name = spelled(model.labels);
    this.isText = input.editor !== undefined;
    this.hint = this.isText ? "Each word is underlined in the colour of the label after it." : "";
    this.label = verdict(`${id}-label`);
    this.shares = bars(`${id}-shares`, "Probability of each label");
    this.curve = chart({
      testid: `${id}-curve`,
      label: "Probability of each label after each step",
      height: 200,
      idle: this.isText ? "Point at the curve or at a word to read it." : "Point at the curve to read it.",
      reads: (n) => this.light(n),
    });
    this.asRead = h("section", { class: "block", hidden: true }, h("h2", {}, "As it reads"), this.curve.root);
    this.moved = h("p", { class: "moved", "data-testid": `${id}-moved` });
    this.movedBy = h("p", { class: "soft reading", role: "status", "data-testid": `${id}-moved-reading` });
    this.attributed = h(
      "section",
      { class: "block", hidden: true },
      h("h2", {}, "Attributions"),
      this.moved,
      this.movedBy,
    );
    const first = h("div", {}, h("h2", {}, "Prediction"), this.label.root);
    this.root = h("div", {}, h("section", { class: "judged" }, first, this.shares.root), this.asRead, this.attributed);
    this.root.dataset.testid = `${id}-result`;
    this.inspect = onlyLast((signal, value) => api.inspect(model.name, value, { parts: ["mattered"] }, signal));
    this.attribute = later((value) => this.ask(value), WAIT);
    input.pointed = (mark) => this.curve.point(mark ? mark.n : null);
  }

  draw([one], value) {
    this.show(one, stepsOf(one), value);
  }

  pushed(answer, value, isCurrent) {
    const steps = this.steps.add(answer);
    if (isCurrent) this.show(answer.prediction ?? answer, steps, value);
  }

  clear() {
    this.label.say(null);
    this.shares.draw([]);
    this.asRead.hidden = this.attributed.hidden = true;
    this.attribute.cancel();
    this.share = null;
    this.input.mark?.([]);
  }

  show({ probabilities }, steps, value) {
    // an object of labels that are numbers has them in another order
    const ranked = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    const [[best, probability]] = ranked;
    ranked.forEach(([label]) => this.colour(label));
    this.label.say(this.name(best), probability, this.colour(best));
    const natural = ([a], [b]) => a.localeCompare(b, "en", { numeric: true });
    const shown = ranked.length > ROWS ? ranked.slice(0, ROWS) : ranked.toSorted(natural);
    this.shares.draw(shown.map(([label, share]) => ({ label: this.name(label), share, colour: this.colour(label) })));
    this.input.mark?.(steps.map((step, n) => this.mark(step, n, ranked.length)));
    this.asRead.hidden = steps.length < 2;
    if (steps.length > 1)
      this.drawCurve(
        steps,
        ranked.slice(0, CURVES).map(([label]) => label),
      );
    if (this.isText) this.attribute(value);
  }

  mark({ start, end, probabilities }, n, count) {
    const [label, score] = Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
    const chance = 1 / Math.max(2, count);
    const strength = 0.25 + 0.75 * Math.max(0, (score - chance) / (1 - chance));
    return {
      start,
      end,
      label,
      name: this.name(label),
      score,
      strength,
      n,
      hue: this.colour(label),
      class: n === this.lit ? "track-word lit" : "track-word",
    };
  }

  drawCurve(steps, labels) {
    const [best] = labels;
    const names = steps.map(({ word, step }) => word ?? step ?? "");
    this.curve.draw({
      x: { min: 0, max: Math.max(steps.length - 1, 1), whole: true, format: (n) => shorten(names[n] ?? "") },
      y: { min: 0, max: 1, format: (p) => percent(p) },
      lines: (labels.length === 2 ? [best] : labels).map((label) => ({
        name: this.name(label),
        colour: this.colour(label),
        points: steps.map((step, n) => [n, step.probabilities[label] ?? null]),
      })),
      read: (n) => {
        const said = labels.map((label) => `P(${this.name(label)}) ${percent(steps[n].probabilities[label])}`);
        return `after “${names[n]}”: ${said.join(", ")}`;
      },
    });
  }

  /** Show which word the curve is read at. */
  light(n) {
    if (n === this.lit || !this.input.editor) return;
    this.lit = n;
    const { editor } = this.input;
    editor.mark(editor.marked.map((mark) => ({ ...mark, class: mark.n === n ? "track-word lit" : "track-word" })));
  }

  async ask(value) {
    try {
      const answer = await this.inspect(value);
      if (value === this.input.value) this.drawMoved(answer);
    } catch {
      // a text that can't be looked into still has its label, and Inside says why
      this.attributed.hidden = true;
    }
  }

  drawMoved({ parts, refused }) {
    const one = parts.mattered?.find(({ method }) => method === METHOD);
    if (!one) throw new Error(refused.mattered);
    this.share = one;
    const top = Math.max(...one.values.map(Math.abs), 1e-9);
    this.attributed.hidden = false;
    this.moved.replaceChildren(...one.steps.flatMap((step, n) => [this.word(one, step, one.values[n], top), " "]));
    const strongest = one.steps
      .map((step, n) => [step, one.values[n]])
      .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
      .slice(0, 3)
      .map(([step, value]) => `“${step}” ${value < 0 ? "against" : "for"}`);
    this.movedBy.textContent = `Strongest influences on ${this.name(one.target)}: ${strongest.join(", ")}.`;
  }

  word({ target }, step, value, top) {
    const others = this.colour.labels().filter((label) => label !== target);
    const against = others.length === 1 ? this.colour(others[0]) : "var(--label-7)";
    const told = `“${step}” ${value < 0 ? "speaks against" : "speaks for"} ${this.name(target)} (${signed(value)})`;
    const looks = {
      class: value < -top / 8 ? "push-word against" : "push-word",
      style: { "--strength": Math.abs(value) / top, "--hue": value > 0 ? this.colour(target) : against },
      onpointerenter: () => (this.movedBy.textContent = told),
    };
    return h("span", looks, step);
  }

  facts() {
    if (!this.share) return [];
    const { log_prob: logProb, error, unit } = this.share;
    return [
      ["Log-probability", `${signed(logProb)} nats`],
      ["Attributions", `sum to within ${Math.abs(error ?? 0).toFixed(3)} (${METHOD}, in ${unit})`],
    ];
  }
}

const shorten = (word) => (word.length > 9 ? `${word.slice(0, 8)}…` : word);
