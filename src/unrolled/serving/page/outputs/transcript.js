/** A text read off an input word by word: a word is heard again where it was said, and marked while it is played. */

import { button, h } from "../lib/dom.js";
import { percent, signed } from "../lib/format.js";

export class TranscriptOutput {
  constructor({ id, input }) {
    Object.assign(this, { id, input, soFar: [], one: null });
    this.isHeard = input.play !== undefined;
    this.hint = this.isHeard ? "Tap a word to hear it." : "";
    this.words = h("p", {
      class: "heard",
      "data-testid": `${id}-result`,
      role: "group",
      "aria-label": "Transcript",
    });
    this.root = h("section", { class: "block" }, h("h2", {}, "Prediction"), this.words);
    input.heard = (now) => this.follow(now);
  }

  draw([one]) {
    this.one = one;
    this.write(one.words, "", one.text);
  }

  /** Words that are over, and after them, paler, what may still change. */
  pushed({ words, text }) {
    this.soFar = [...this.soFar, ...words];
    const over = this.soFar.map((word) => word.text).join(" ");
    this.write(this.soFar, text.startsWith(over) ? text.slice(over.length).trim() : "");
  }

  clear() {
    this.soFar = [];
    this.one = null;
    this.words.replaceChildren();
  }

  write(words, rest, text = "") {
    this.words.replaceChildren(...words.flatMap((word) => [this.word(word), " "]));
    if (rest) this.words.append(h("span", { class: "soft" }, rest));
    if (!words.length && !rest) this.words.append(h("span", { class: "soft" }, text || "No words recognised."));
  }

  word({ text, begin, end, confidence }) {
    const where = this.isHeard ? `${begin.toFixed(2)}–${end.toFixed(2)} s, ` : "";
    return button(`${this.id}-word`, text, () => this.input.play?.(begin), {
      class: "word",
      "data-begin": begin,
      "data-end": end,
      title: `${where}${percent(confidence)} sure`,
      style: { "--strength": confidence },
    });
  }

  follow(now) {
    for (const { classList, dataset } of this.words.querySelectorAll(".word"))
      classList.toggle("now", now >= Number(dataset.begin) && now < Number(dataset.end));
  }

  facts() {
    if (!this.one) return [];
    const { log_prob: logProb, notes = [] } = this.one;
    return [
      ["Log-probability", logProb === undefined ? null : `${signed(logProb)} nats`],
      ["Notes", notes.join("; ")],
    ];
  }
}
