/** Any answer whatever, for outputs that the page has no view of: its fields, one a row. */

import { h } from "../lib/dom.js";
import { number } from "../lib/format.js";

/** items of a list that are written out */
const MOST = 12;

export class GenericOutput {
  hint = "";

  constructor({ id }) {
    this.list = h("dl", { class: "fields", "data-testid": `${id}-result` });
    this.root = h("section", { class: "block" }, h("h2", {}, "Prediction"), this.list);
  }

  draw(predictions) {
    this.list.replaceChildren(...predictions.flatMap(rows));
  }

  clear() {
    this.list.replaceChildren();
  }
}

const rows = (one) =>
  Object.entries(one).flatMap(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, written(value))]);

function written(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return number(value, 5);
  if (typeof value !== "object") return `${value}`;
  if (!Array.isArray(value)) return h("dl", { class: "fields" }, rows(value));
  const rest = value.length > MOST ? ` … ${value.length - MOST} more` : "";
  if (value.every((one) => typeof one !== "object")) return `${value.slice(0, MOST).map(written).join(", ")}${rest}`;
  return h(
    "ol",
    {},
    value.slice(0, MOST).map((one) => h("li", {}, written(one))),
    rest && h("li", {}, rest),
  );
}
