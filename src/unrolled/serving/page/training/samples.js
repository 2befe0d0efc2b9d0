/** What a model writes as it learns: a slider through its samples, and the newest beside it. */

import { h } from "../lib/dom.js";
import { slider } from "../lib/widgets.js";
import { short } from "../inside/words.js";

const KEPT = 300;

export class Samples {
  constructor() {
    this.all = [];
    this.follows = true;
    this.time = slider({
      id: "training-sample",
      label: "Sample",
      min: 0,
      max: 0,
      step: 1,
      value: 0,
      told: (n) => this.name(n),
      oninput: (n) => {
        this.follows = false;
        this.show(n);
      },
    });
    const text = (id) => h("pre", { class: "code sample-text", tabindex: "0", "data-testid": `training-${id}` });
    this.newest = text("newest");
    this.chosen = text("chosen");
    this.newestTitle = h("h3", {}, "Newest");
    this.chosenTitle = h("h3", {});
    const then = h("div", {}, this.chosenTitle, this.chosen);
    const now = h("div", {}, this.newestTitle, this.newest);
    this.root = h(
      "section",
      { class: "block samples", hidden: true, "data-testid": "training-samples" },
      h("h2", {}, "What it writes as it learns"),
      this.time.root,
      h("div", { class: "pair" }, then, now),
    );
  }

  clear() {
    this.all = [];
    this.follows = true;
  }

  add({ samples, anew }) {
    this.all = (anew ? samples : [...this.all, ...samples]).slice(-KEPT);
  }

  draw() {
    const { all, time } = this;
    this.root.hidden = !all.length;
    if (!all.length) return;
    time.input.max = all.length - 1;
    time.input.disabled = all.length < 2;
    this.newest.textContent = all.at(-1).text;
    this.newestTitle.textContent = `Newest: ${this.name(all.length - 1)}`;
    if (this.follows) time.value = 0;
    this.show(time.value);
  }

  show(n) {
    const one = this.all[Math.min(n, this.all.length - 1)];
    if (!one) return;
    this.chosen.textContent = one.text;
    this.chosenTitle.textContent = `Then: ${this.name(n)}`;
  }

  name(n) {
    const one = this.all?.[n];
    return one ? `step ${one.step.toLocaleString("en")}${one.loss === null ? "" : `, loss ${short(one.loss)}`}` : "";
  }
}
