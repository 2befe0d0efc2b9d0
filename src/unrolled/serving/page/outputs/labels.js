/** A label for each step: entities and tags in the text, pieces of equal label on a timeline. */

import { button, h } from "../lib/dom.js";
import { capital, coloured, colours, percent, placesIn, spelled } from "../lib/format.js";
import { legend } from "../lib/widgets.js";
import { Steps, stepsOf } from "./steps.js";

/** labels that say that nothing happens */
const NOTHING = new Set(["background", "sil", "sp", "O"]);

export class LabelsOutput {
  constructor({ id, model, note, input }) {
    Object.assign(this, { id, model, note, input, steps: new Steps() });
    this.seen = new Set(coloured(model).filter((label) => !NOTHING.has(label)));
    this.colour = colours([...this.seen]);
    this.name = spelled(model.labels);
    this.isText = input.editor !== undefined;
    this.hint = this.isText
      ? "Labels are marked as you type; point at one to see how sure the model is."
      : "Consecutive steps with the same label are merged.";
    this.list = h("ul", { class: "found", "aria-label": "Labels found", "data-testid": `${id}-found` });
    this.meaning = h("div", {});
    this.root = h("div", {}, this.list, this.meaning);
    input.pointed = (mark) => note.hint(mark ? this.said(mark) : "");
    this.explain();
  }

  draw([one], value) {
    this.show(spansOf(one) ?? asSteps(one), value, one.rate);
  }

  pushed(answer, value, isCurrent) {
    // of a stream that says no more than labels
    const steps = answer.labels ? asSteps(answer) : this.steps.add(answer);
    if (isCurrent) this.show(gathered(steps, value) ?? steps, value);
  }

  clear() {
    this.list.replaceChildren();
    this.input.mark?.([]);
  }

  show(spans, value, rate) {
    for (const { label } of spans) if (!isNothing(label)) this.seen.add(kind(label));
    this.explain();
    const marks = spans.map((one) => this.mark(one));
    // where nothing happens is of interest on a timeline only
    const shown = this.isText ? marks.filter(({ label }) => !isNothing(label)) : marks;
    this.input.mark?.(shown, rate);
    if (this.isText || !this.input.mark) this.list.replaceChildren(...shown.map((mark) => this.chip(mark)));
  }

  mark(one) {
    const name = this.name(kind(one.label));
    const text = one.text ?? "";
    const isRoomy = name.length * 0.62 <= [...text].length;
    const nothing = isNothing(one.label);
    return {
      ...one,
      name,
      isNothing: nothing,
      tag: isRoomy ? name : kind(one.label),
      hue: nothing ? "transparent" : this.colour(kind(one.label)),
      strength: 0.35 + 0.65 * one.score,
    };
  }

  chip(mark) {
    const say = () => this.note.hint(this.said(mark));
    const parts = [
      h("span", {}, mark.text),
      h("span", { class: "chip-label" }, mark.name),
      h("span", { class: "chip-score" }, percent(mark.score)),
    ];
    const looks = { class: "chip", style: { "--hue": mark.hue }, onfocus: say, onpointerenter: say };
    return h(
      "li",
      {},
      button(`${this.id}-chip`, parts, () => this.input.seek?.(mark), looks),
    );
  }

  explain() {
    // on a timeline each piece has its name
    if (!this.isText) return;
    this.meaning.replaceChildren(legend(`${this.id}-legend`, [...this.seen], this.colour, this.name));
  }

  said({ text, label, score }) {
    return `${capital(this.name(kind(label)))}: “${text}”, ${percent(score, 1)} sure.`;
  }
}

/** The type of a label of entities: what is behind its B-, I-, E- or S-. */
const kind = (label) => label.replace(/^[BIES]-/, "");

const isNothing = (label) => NOTHING.has(label);

/** Labels found in a text as the model says it; null where it only labels steps. */
function spansOf({ entities, tokens }) {
  if (!entities) return null;
  return entities.length || tokens.every(({ label }) => /^([BIES]-.+|O)$/.test(label)) ? entities : tokens;
}

/** Steps as they are, or out of a list of labels. */
function asSteps(answer) {
  if (!answer.labels) return stepsOf(answer);
  const { labels, scores, rate } = answer;
  const named = (n) => (rate ? `${(n / rate).toFixed(2)} s` : `${n + 1}`);
  return labels.map((label, n) => ({ start: n, end: n + 1, label, score: scores[n], text: named(n) }));
}

/** Entities out of labels that came one by one, as sure as the least sure of their tokens; null for other labels. */
function gathered(tokens, text) {
  if (typeof text !== "string" || !tokens.every(({ label }) => /^([BIES]-.+|O)$/.test(label))) return null;
  const place = placesIn(text);
  const found = [];
  let open = null;
  for (const { start, end, label, score } of tokens) {
    const [, part, type] = /^([BIES])-(.+)$/.exec(label) ?? [];
    const goes = open && open.label === type && (part === "I" || part === "E");
    if (!goes) open = part ? { start, end, label: type, score } : null;
    if (open && !goes) found.push(open);
    if (goes) Object.assign(open, { end, score: Math.min(open.score, score) });
    if (part === "E" || part === "S") open = null;
  }
  return found.map((one) => ({ ...one, text: text.slice(place(one.start), place(one.end)) }));
}
