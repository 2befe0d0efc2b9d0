/** An image: drawn, chosen or dropped on one sheet; where a network looked is left light on it. */

import { base64, blobOf, h, later } from "../lib/dom.js";
import { dropZone } from "../lib/widgets.js";
import { Drawing } from "./drawing.js";

/** milliseconds after the last stroke */
const WAIT = 60;

export class ImageInput {
  static reads = (example) => typeof example?.image === "string";

  constructor({ id, changed }) {
    this.hint = "Draw, or drop an image.";
    this.changed = changed;
    this.image = null;
    this.file = { name: "image.png", type: "image/png" };
    this.pad = new Drawing({ id: `${id}-pad`, label: "Draw here", changed: later(() => this.drawn(), WAIT) });
    this.heat = h("canvas", { class: "heat", "aria-hidden": "true", "data-testid": `${id}-heat` });
    this.pad.sheet.append(this.heat);
    this.zone = dropZone({
      id,
      accept: "image/png,image/jpeg,image/gif,image/bmp,image/webp",
      title: "Choose an image",
      hint: "or drop it here: PNG, JPEG, GIF, BMP or WebP",
      taken: (file) => this.taken(file),
    });
    this.root = h("div", { class: "stack" }, this.pad.root, this.zone.root);
  }

  get value() {
    return this.image && { image: this.image };
  }

  async drawn() {
    this.file = { name: "drawing.png", type: "image/png" };
    this.zone.name("");
    const image = this.pad.isEmpty ? null : await base64(await this.pad.png());
    this.image = image;
    this.changed(!image);
  }

  async taken(file) {
    this.file = { name: file.name, type: file.type || "image/png" };
    this.zone.name(file.name);
    this.image = await base64(file);
    await this.pad.show(file);
    this.changed(true);
  }

  async show({ image }) {
    this.image = image;
    this.zone.name("");
    await this.pad.show(blobOf(image));
    this.changed(true);
  }

  clear() {
    this.pad.clear();
    this.zone.name("");
    this.image = null;
    this.look(null);
    this.changed(true);
  }

  /** Dark where the network did not look: a grid of weights, rows of columns, or null. */
  look(grid) {
    this.heat.classList.toggle("on", grid !== null);
    if (!grid) return;
    const weights = grid.flat();
    const top = Math.max(...weights, 1e-9);
    [this.heat.width, this.heat.height] = [grid[0].length, grid.length];
    const context = this.heat.getContext("2d");
    const image = context.createImageData(this.heat.width, this.heat.height);
    weights.forEach((weight, n) => image.data.set([10, 14, 20, Math.round(215 * (1 - weight / top))], 4 * n));
    context.putImageData(image, 0, 0);
  }
}
