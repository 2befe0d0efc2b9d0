/** What the page says when no model is loaded: the commands that make one. */

import { h } from "./lib/dom.js";

const WAYS = [
  ["Complete text as you type", "unrolled train generate mail.txt --out my-mail"],
  ["Classify texts", "unrolled train classify reviews.csv --out sentiment"],
  ["Find names", "unrolled train tag sentences.conll --out ner"],
  ["Translate", "unrolled train translate pairs.tsv --out de-en"],
  ["Recognize images", "unrolled train recognize digits/ --out digits"],
  ["Caption images", "unrolled train caption captions.csv --out captions"],
  ["Label each frame", "unrolled train label clips/ --out gestures"],
  ["Transcribe speech", "unrolled train transcribe recordings.csv --out dictation"],
  ["Forecast series", "unrolled train forecast sales.csv --out sales"],
];

/** A command that breaks between words, not at their hyphens. */
const whole = (command) => command.split(" ").map((word) => [h("span", { class: "whole" }, word), " "]);

export function emptyPage() {
  const ways = WAYS.map(([what, command]) => [h("dt", {}, what), h("dd", {}, h("code", {}, whole(command)))]);
  const list = h("code", {}, "unrolled data list");
  return h(
    "section",
    { class: "panel empty", "data-testid": "empty" },
    h("h2", {}, "No model is loaded"),
    h("p", {}, "A model is a folder, trained on your own data by one command. Train one, then serve it:"),
    h("pre", { class: "code" }, "unrolled train generate mail.txt --out my-mail\nunrolled serve my-mail"),
    h("dl", { class: "ways" }, ways),
    h("p", { class: "soft" }, "Add --minutes 10 for a quick first result. ", list, " lists data sets to start with."),
  );
}
