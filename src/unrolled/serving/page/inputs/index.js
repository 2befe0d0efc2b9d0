/** What is looked into: a text that is typed, or a file; as the model's task takes it. */

import { base64, h } from "../dom.js";
import { drawing } from "../drawing.js";
import { editor } from "../editor.js";
import { example } from "../forecasts.js";
import { numbersOf, readTable } from "../table.js";
import { dropZone } from "../widgets.js";

const TEXTS = new Set(["write", "translate", "entities", "feeling"]);
const ZONES = {
  caption: { accept: "image/*", title: "Choose an image, or drop it here", hint: "PNG, JPEG, GIF, BMP or WebP" },
  recognize: { accept: "image/*", title: "or choose an image", hint: "PNG, JPEG, GIF, BMP or WebP" },
  listen: { accept: "audio/*", title: "Choose a sound, or drop it here", hint: "WAV, FLAC or OGG" },
  frames: {
    accept: "video/*,image/gif,.csv,.tsv",
    title: "Choose a clip or a table, or drop it here",
    hint: "MP4, WebM, GIF, CSV",
  },
  forecast: { accept: ".csv,.tsv,.txt,text/csv", title: "Choose a table, or drop it here", hint: "CSV" },
};

/**
 * @param {object} model as the server describes it
 * @param {object} kept the tab's memory
 * @param {(input: any, now?: boolean) => void} given an input as the wire takes it, or null; `now` if it is complete
 * @returns {{root: HTMLElement, example: () => void}}
 */
export function inputOf(model, kept, given) {
  if (TEXTS.has(model.view)) return text(model, kept, given);
  return file(model, given);
}

function text(model, kept, given) {
  const field = editor({
    id: "inside-text",
    label: "Your text",
    placeholder: "A few words …",
    value: kept.get(`text.${model.view}`, ""),
    oninput: (typed) => {
      kept.set(`text.${model.view}`, typed);
      given(typed.trim() ? typed : null);
    },
  });
  if (field.text.trim()) given(field.text, true);
  return {
    root: field.root,
    example: () => {
      field.text = model.example.inputs[0];
    },
  };
}

function file(model, given) {
  const zone = dropZone({ view: "inside", ...ZONES[model.view], taken });
  const pad = model.view === "recognize" ? drawing({ id: "inside-pad", label: "Draw here", changed: drawn }) : null;
  let timer = 0;

  async function taken(one) {
    zone.name(one.name);
    if (pad) await pad.show(one);
    given(await encoded(model, one), true);
  }

  function drawn() {
    clearTimeout(timer);
    timer = setTimeout(async () => given(pad.isEmpty ? null : { image: await base64(await pad.png()) }), 100);
  }

  return {
    root: pad ? h("div", { class: "pair drawn" }, pad.root, zone.root) : zone.root,
    example: () => {
      zone.name("an example");
      given(model.view === "forecast" ? example() : model.example.inputs[0], true);
    },
  };
}

async function encoded({ view, columns }, one) {
  if (view === "forecast") return { table: await one.text() };
  if (view === "frames" && /\.(csv|tsv|txt)$/i.test(one.name))
    return { features: numbersOf(readTable(await one.text()), columns) };
  return { [{ listen: "sound", frames: "clip" }[view] ?? "image"]: await base64(one) };
}
