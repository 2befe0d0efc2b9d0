/** Steps of equal label as coloured pieces, and a scrubber over them: what goes on when. */

import { button, h } from "./dom.js";
import { percent } from "./format.js";
import { verdict } from "./widgets.js";

/** @typedef {{start: number, end: number, label: string, name?: string, hue: string, score: number}} Step */

export class Timeline {
  /** @param {{id: string, moved: (step: number) => void}} options `moved`: somebody went to a step */
  constructor({ id, moved }) {
    this.moved = moved;
    this.steps = [];
    this.rate = null;
    this.strip = h("div", { class: "strip", "aria-hidden": "true", "data-testid": `${id}-strip` });
    this.scrubber = h("input", {
      type: "range",
      class: "scrubber",
      min: 0,
      max: 0,
      step: 1,
      value: 0,
      "aria-label": "Step",
      "data-testid": `${id}-scrubber`,
      oninput: () => this.go(Number(this.scrubber.value)),
    });
    this.now = verdict(`${id}-now`);
    this.list = h("ol", { class: "segments", "data-testid": `${id}-segments`, "aria-label": "Segments" });
    this.id = id;
    const track = h("div", { class: "track-box" }, this.strip, this.scrubber);
    this.root = h("div", { class: "timeline", hidden: true }, track, this.now.root, this.list);
  }

  /**
   * @param {Step[]} steps none for nothing
   * @param {number | null} rate steps a second, if that is known
   */
  draw(steps, rate = null) {
    this.steps = steps;
    this.rate = rate;
    this.root.hidden = !steps.length;
    if (!steps.length) return;
    const segments = merged(steps);
    this.strip.replaceChildren(...segments.map((segment) => this.piece(segment)));
    this.list.replaceChildren(...segments.filter(({ isNothing }) => !isNothing).map((segment) => this.row(segment)));
    this.scrubber.max = steps.length - 1;
    this.show(0);
  }

  piece({ name, hue, first, last, score }) {
    const style = { "flex-grow": last - first + 1, "--hue": hue };
    return h("span", { class: "piece", title: `${name} ${percent(score)}`, style }, h("span", {}, name));
  }

  row({ name, hue, first, last, score }) {
    const when = this.rate
      ? `${(first / this.rate).toFixed(2)}–${((last + 1) / this.rate).toFixed(2)} s`
      : `${first + 1}–${last + 1}`;
    const parts = [
      h("span", { class: "dot", style: { "--hue": hue } }),
      h("span", {}, name),
      h("span", { class: "soft" }, `${when} · ${percent(score)}`),
    ];
    return h(
      "li",
      {},
      button(`${this.id}-segment`, parts, () => this.go(first), { class: "quiet segment" }),
    );
  }

  go(n) {
    this.show(n);
    this.moved(n);
  }

  /** Show a step, without going there. */
  show(n) {
    const step = this.steps[Math.max(0, Math.min(n, this.steps.length - 1))];
    if (!step) return;
    const seconds = this.rate ? `${(n / this.rate).toFixed(2)} s` : `step ${n + 1} of ${this.steps.length}`;
    this.scrubber.value = n;
    this.scrubber.setAttribute("aria-valuetext", `${seconds}: ${step.name}`);
    this.now.say(step.name, step.score, step.hue, ` · ${seconds}`);
  }
}

/** Runs of equal label, as sure as their steps are on average. */
export function merged(steps) {
  const runs = [];
  steps.forEach((step, n) => {
    const open = runs.at(-1);
    if (open?.label === step.label) {
      open.score += (step.score - open.score) / (n - open.first + 1);
      open.last = n;
    } else runs.push({ ...step, first: n, last: n });
  });
  return runs;
}
