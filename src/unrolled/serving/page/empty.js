/** What the page says when no model is loaded: the commands that make one. */

import { h } from "./dom.js";

const WAYS = [
  ["Completes what you type", "unrolled train generate mail.txt --out my-mail"],
  ["Translates", "unrolled train translate pairs.tsv --out de-en"],
  ["Finds names", "unrolled train tag sentences.conll --out ner"],
  ["Tells the feeling of a text", "unrolled train classify reviews.csv --out sentiment"],
  ["Describes images", "unrolled train caption captions.csv --out captions"],
  ["Recognizes images", "unrolled train recognize digits/ --out digits"],
  ["Listens", "unrolled train transcribe recordings.csv --out dictation"],
  ["Labels each frame", "unrolled train label clips/ --out gestures"],
  ["Forecasts", "unrolled train forecast sales.csv --out sales"],
];

/** A command that breaks between words, not at their hyphens. */
const whole = (command) => command.split(" ").map((word) => [h("span", { class: "whole" }, word), " "]);

export function emptyPage() {
  return h(
    "section",
    { class: "panel empty", "data-testid": "empty" },
    h("h2", {}, "No model is loaded"),
    h("p", {}, "A model is a folder that a command makes from your own data. Make one, then name it:"),
    h("pre", { class: "code" }, "unrolled train generate mail.txt --out my-mail\nunrolled serve my-mail"),
    h(
      "dl",
      { class: "ways" },
      WAYS.map(([what, command]) => [h("dt", {}, what), h("dd", {}, h("code", {}, whole(command)))]),
    ),
    h(
      "p",
      { class: "soft" },
      "Add --minutes 10 to any of them for a first result. ",
      h("code", {}, "unrolled data list"),
      " names data to begin with.",
    ),
  );
}
