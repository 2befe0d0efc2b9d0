/** Any input whatever, as JSON: for inputs that the page has no widget for. */

import { h } from "../lib/dom.js";

export class JsonInput {
  static reads = () => true;

  constructor({ id, changed }) {
    this.hint = "Write the input as JSON.";
    this.file = null;
    this.changed = changed;
    this.area = h("textarea", {
      id: `${id}-json`,
      class: "json",
      rows: 8,
      spellcheck: "false",
      "data-testid": `${id}-json`,
      oninput: () => changed(false),
    });
    this.root = h(
      "div",
      { class: "field" },
      h("label", { for: this.area.id, class: "label" }, "Your input, as JSON"),
      this.area,
    );
  }

  /** @throws {Error} it is not JSON */
  get value() {
    if (!this.area.value.trim()) return null;
    try {
      return JSON.parse(this.area.value);
    } catch (error) {
      throw new Error(`This is not JSON yet: ${error.message}`);
    }
  }

  show(value) {
    this.area.value = JSON.stringify(value, null, 2);
    this.changed(true);
  }

  clear() {
    this.area.value = "";
    this.changed(true);
  }
}
