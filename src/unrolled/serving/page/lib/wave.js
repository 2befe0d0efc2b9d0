/** A wave as peaks over time, with a hand where it is played; pressed or moved along by arrow keys, it goes there. */

import { h, onTheme } from "./dom.js";

const BAR = 3;
const PEAKS = 600;

export class Wave {
  /** @param {{id: string, moved: (share: number) => void}} options `moved`: somebody went to a place, from 0 to 1 */
  constructor({ id, moved }) {
    this.canvas = h("canvas", { class: "wave", "aria-hidden": "true", "data-testid": `${id}-wave` });
    this.hand = h("span", { class: "hand", hidden: true });
    this.place = h("input", {
      type: "range",
      class: "wave-place",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0,
      disabled: true,
      "aria-label": "Place in the sound",
      "data-testid": `${id}-place`,
      oninput: () => moved(Number(this.place.value)),
    });
    this.root = h("div", { class: "wave-box" }, this.canvas, this.hand, this.place);
    this.peaks = [];
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    onTheme(() => this.paint());
  }

  paint() {
    const { canvas, peaks } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
    const context = canvas.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    context.fillStyle = getComputedStyle(canvas).color;
    const count = Math.floor(width / BAR);
    const step = Math.max(1, peaks.length / count);
    const top = Math.max(0.05, ...peaks);
    for (let n = 0; n < Math.min(count, peaks.length); n += 1) {
      const first = Math.floor(n * step);
      const some = peaks.slice(first, Math.max(Math.floor((n + 1) * step), first + 1));
      const tall = Math.max(1.5, (Math.max(...some) / top) * (height - 6));
      context.fillRect(BAR * n, (height - tall) / 2, BAR - 1, tall);
    }
  }

  /** One more while it is recorded. */
  peak(value) {
    this.peaks.push(value);
    this.paint();
  }

  /** All of a sound, from edge to edge. */
  draw(samples) {
    const size = Math.max(1, Math.floor(samples.length / PEAKS));
    const count = Math.floor(samples.length / size);
    this.peaks = Array.from({ length: count }, (_, n) => loudest(samples.subarray(n * size, (n + 1) * size)));
    const wide = Math.floor(this.canvas.clientWidth / BAR);
    // a short sound fills the width too
    if (count && count < wide)
      this.peaks = Array.from({ length: wide }, (_, n) => this.peaks[Math.floor((n * count) / wide)]);
    this.place.disabled = !count;
    this.at(null);
    this.paint();
  }

  clear() {
    this.peaks = [];
    this.place.disabled = true;
    this.at(null);
    this.paint();
  }

  /** Where it is played, from 0 to 1, or null. */
  at(share) {
    this.hand.hidden = share === null;
    this.place.value = share ?? 0;
    this.hand.style.setProperty("left", `${100 * (share ?? 0)}%`);
  }
}

export const loudest = (samples) => samples.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
