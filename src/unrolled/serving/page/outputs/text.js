/** A text that is written about an input, and what the network looked at as it wrote each word of it. */

import { h, roving } from "../lib/dom.js";
import { number, percent, signed } from "../lib/format.js";
import { bars, tokens } from "../lib/widgets.js";

/** weights that are marked, and that are said */
const SEEN = 0.02;
const SAID = 0.05;

export class TextOutput {
  options = { n_best: 5, n: 3 };

  constructor({ id, note, input }) {
    Object.assign(this, { id, note, input, best: null });
    this.editor = input.editor ?? null;
    this.hint = "Tap a word of the answer to see what the network attended to.";
    this.output = h("div", {
      class: "sheet-out",
      "data-testid": `${id}-result`,
      role: "group",
      "aria-label": "Answer",
    });
    this.others = bars(`${id}-best`, "Answers, best first");
    const label = this.editor ? "Translation" : "Prediction";
    this.root = h(
      "div",
      {},
      h("div", { class: "field" }, h("p", { class: "label" }, label), h("div", { class: "editor out" }, this.output)),
      h("section", { class: "block alternatives" }, h("h2", {}, "Alternatives"), this.others.root),
    );
    this.output.addEventListener("keydown", (event) => this.step(event));
    if (this.editor) new ResizeObserver(() => this.align()).observe(this.editor.layer);
  }

  /** A text is read line by line; blank lines keep their place. */
  inputs(value) {
    return typeof value === "string" ? linesOf(value) : [value];
  }

  draw(predictions, value) {
    const isText = typeof value === "string";
    this.rest();
    if (isText) this.drawLines(predictions, value);
    else this.output.replaceChildren(...predictions.map((one) => h("div", { class: "line" }, this.sentence(one))));
    this.choose(predictions[0]);
  }

  /** Each translation beside its line. */
  drawLines(predictions, value) {
    const rest = [...predictions];
    let at = 0;
    const shown = value.split("\n").map((line) => {
      const start = at + (line.length - line.trimStart().length);
      at += line.length + 1;
      if (!line.trim()) return h("div", { class: "line" });
      const source = h("span", { class: "source soft" }, line.trim());
      return h("div", { class: "line" }, source, this.sentence(rest.shift(), this.input.since + start));
    });
    this.output.replaceChildren(...shown);
    this.align();
  }

  /** A line of the answer begins as high as its line in the field, wherever there is room. */
  align() {
    const rows = [...this.output.querySelectorAll(".line")];
    const tops = this.editor.lines();
    for (const row of rows) row.style.removeProperty("margin-top");
    if (tops.length !== rows.length || !rows.length) return;
    const first = rows[0].offsetTop - tops[0];
    rows.forEach((row, n) => {
      const missing = first + tops[n] - row.offsetTop;
      if (missing > 0.5) row.style.setProperty("margin-top", `${missing}px`);
    });
  }

  sentence(one, start = 0) {
    const { words, spaced, look } = this.readings(one, start);
    const nodes = tokens(`${this.id}-token`, words, {
      look: (n) => (this.choose(one), look(n)),
      rest: () => this.rest(),
    });
    return h("p", { dir: "auto" }, nodes.length ? nodes.flatMap((node, n) => [spaced(n), node]) : one.text);
  }

  /** The words of an answer, what stands between them, and how to show what each looked at. */
  readings(one, start) {
    if (one.captions) {
      const [{ words, attention }] = one.captions;
      return { words, spaced: (n) => (n ? " " : ""), look: (n) => this.input.look?.(attention[n]) };
    }
    const shown = one.target_tokens.slice(0, -1);
    const spaced = (n) => (n ? /^\s*/.exec(shown[n])[0] : "");
    const places = this.editor ? placesOf(one.source_tokens, one.source, start) : [];
    return { words: shown.map((token) => token.trimStart()), spaced, look: (n) => this.look(one, n, places) };
  }

  look({ attention, source_tokens: tokens, target_tokens: written }, n, places) {
    const weights = attention[n];
    const top = Math.max(...weights, 1e-9);
    this.editor?.mark(
      places
        .map((place, k) => ({ ...place, hue: "var(--accent)", strength: (1.6 * weights[k]) / top, weight: weights[k] }))
        .filter(({ start, end, weight }) => end > start && weight > SEEN),
    );
    const said = weights
      .map((weight, k) => [tokens[k].trim(), weight])
      .filter(([, weight]) => weight > SAID)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4)
      .map(([token, weight]) => `${token || "space"} ${number(100 * weight, 2)} %`);
    this.note.hint(`“${written[n].trim()}” looked at ${said.join(", ")}`);
  }

  rest() {
    this.editor?.mark([]);
    this.input.look?.(null);
    this.note.hint("");
  }

  step(event) {
    if (!event.target.matches(".token")) return;
    roving({ key: event.key, currentTarget: event.target, preventDefault: () => event.preventDefault() }, [
      ...this.output.querySelectorAll(".token"),
    ]);
  }

  /** What else was possible, as a share of the best. */
  choose(one) {
    if (one === this.best) return;
    this.best = one;
    const all = one?.candidates ?? one?.captions ?? [];
    const top = Math.max(...all.map(({ log_prob: logProb }) => logProb));
    const share = ({ log_prob: logProb }) => Math.exp(logProb - top);
    this.others.draw(all.map((each) => ({ label: each.text, share: share(each), told: percent(share(each)) })));
  }

  clear() {
    this.rest();
    this.output.replaceChildren();
    this.choose(null);
  }

  facts() {
    const all = this.best?.candidates ?? this.best?.captions ?? [];
    return all.map(({ log_prob: logProb }, n) => [n ? `Alternative ${n + 1}` : "Best", `${signed(logProb, 1)} nats`]);
  }
}

const linesOf = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** Where the tokens of a source stand in the field; tokens that do not spell it stand nowhere. */
function placesOf(tokens, source, start) {
  let at = 0;
  return tokens.map((token) => {
    const piece = token.trim();
    const found = piece ? source.indexOf(piece, at) : -1;
    if (found < 0 || found > at + 1) return { start: 0, end: 0 };
    at = found + piece.length;
    return { start: start + found, end: start + at };
  });
}
