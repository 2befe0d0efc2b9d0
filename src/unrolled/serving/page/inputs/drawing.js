/** A sheet of paper: drawn on with a mouse, a finger, or the arrow keys while the pen is down. */

import { h } from "../lib/dom.js";

const WIDE = 280;
const PEN = 22;
const STEP = 7;

export class Drawing {
  /** @param {{id: string, label: string, changed: () => void}} options `changed` during and after a stroke */
  constructor({ id, label, changed }) {
    this.changed = changed;
    this.canvas = h("canvas", {
      id,
      class: "paper",
      tabindex: "0",
      role: "img",
      "data-testid": id,
      "aria-label": `${label}. With the keyboard: arrows move the pen, space sets it down and lifts it, Delete clears.`,
    });
    this.cursor = h("span", { class: "pen", "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.sheet = h("div", { class: "sheet-of-paper" }, this.canvas, this.cursor);
    this.root = h("div", { class: "pad" }, this.sheet);
    /** how wide the sheet is for its height */
    this.shape = 1;
    this.last = null;
    this.isShowing = false;
    this.pen = { x: WIDE / 2, y: WIDE / 2, down: false };
    this.listen();
    this.clear();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.last = this.at(event);
      this.stroke(this.last, { x: this.last.x + 0.1, y: this.last.y });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const one of moves.length ? moves : [event]) {
        const next = this.at(one);
        this.stroke(this.last, next);
        this.last = next;
      }
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (this.last = null));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** A white sheet, of the shape of the last image. */
  clear() {
    this.size(this.shape);
    this.isEmpty = true;
    this.isShowing = false;
    Object.assign(this.pen, { x: this.canvas.width / 2, y: this.canvas.height / 2, down: false });
    this.place();
  }

  size(shape) {
    this.shape = shape;
    this.canvas.width = WIDE * Math.max(1, Math.min(4, shape));
    this.canvas.height = this.canvas.width / shape;
    this.sheet.style.setProperty("aspect-ratio", `${shape}`);
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  stroke(from, to) {
    // what is drawn over an image begins anew
    if (this.isShowing) this.clear();
    const width = Math.min(PEN, this.canvas.height / 8);
    Object.assign(this.context, { lineWidth: width, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
    this.context.beginPath();
    this.context.moveTo(from.x, from.y);
    this.context.lineTo(to.x, to.y);
    this.context.stroke();
    this.isEmpty = false;
    this.changed();
  }

  at({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((clientX - box.left) * this.canvas.width) / box.width,
      y: ((clientY - box.top) * this.canvas.height) / box.height,
    };
  }

  place() {
    this.cursor.style.setProperty("left", `${(100 * this.pen.x) / this.canvas.width}%`);
    this.cursor.style.setProperty("top", `${(100 * this.pen.y) / this.canvas.height}%`);
    this.cursor.classList.toggle("down", this.pen.down);
  }

  key(event) {
    const { pen, canvas } = this;
    const way = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (way) {
      const clip = (v, most) => Math.max(0, Math.min(most, v));
      const next = { x: clip(pen.x + STEP * way[0], canvas.width), y: clip(pen.y + STEP * way[1], canvas.height) };
      if (pen.down) this.stroke({ ...pen }, next);
      Object.assign(pen, next);
    } else if (event.key === " ") {
      const { x, y } = pen;
      const down = !pen.down;
      if (down) this.stroke({ x, y }, { x: x + 0.1, y });
      Object.assign(pen, { x, y, down });
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
      this.changed();
    } else return;
    event.preventDefault();
    canvas.classList.add("by-keys");
    this.place();
  }

  png() {
    return new Promise((resolve) => {
      this.canvas.toBlob(resolve, "image/png");
    });
  }

  /** Show an image instead; what is drawn next begins anew. */
  async show(file) {
    const image = await createImageBitmap(file).catch(() => null);
    if (!image) return this.clear();
    this.size(Math.max(0.25, Math.min(6, image.width / image.height)));
    this.context.imageSmoothingEnabled = image.width > this.canvas.width;
    this.context.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    this.isEmpty = false;
    this.isShowing = true;
  }
}
