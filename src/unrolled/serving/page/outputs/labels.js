/** Entities: names marked in the text while it is typed. */

import { coloured, colours, h, later, memory, onlyLast, percent, placesIn } from "../dom.js";
import { editor } from "../editor.js";
import { predictText, programs } from "../programs.js";
import { legend, modelBar, notice } from "../widgets.js";

export const view = "entities";
export const title = "Entities";

const EXAMPLE =
  "Ada Lovelace was born in London in 1815. She met Charles Babbage there, and wrote for Taylor and Francis.";
const WAIT = 120;

export function mount(root, models, api) {
  const kept = memory(view);
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Names are marked as you type. Point at one, or put the cursor in it, to see how sure the model is.",
    chosen: () => connect(),
    example: () => {
      field.text = EXAMPLE;
    },
  });
  const field = editor({
    id: "entities-text",
    label: "Your text",
    placeholder: "A sentence with names in it …",
    value: kept.get("text", ""),
    oninput: (text) => {
      kept.set("text", text);
      ask();
    },
    pointed: (mark) => note.hint(mark ? said(mark.data) : ""),
  });
  const found = h("ul", {
    class: "found",
    id: "entities-found",
    "aria-label": "What was found",
    "data-testid": "entities-found",
  });
  const meaning = h("div", {});
  let stream = null,
    tokens = [],
    colour = colours([]),
    seen = new Set();
  const predict = onlyLast((signal, text) => api.predict(bar.model.name, [text], {}, signal));
  const whole = later(async (text) => {
    const [one] = await predict(text).catch((error) => (note.problem(error), []));
    if (one && text === field.text) take(one.tokens, one.entities, text);
  }, WAIT);

  root.append(bar.root, field.root, note.root, found, meaning, lines.root);

  function connect() {
    stream?.close();
    stream = bar.model.streams ? api.stream(bar.model.name) : null;
    seen = new Set(coloured(bar.model));
    colour = colours([...seen]);
    meaning.replaceChildren(legend("entities-legend", [...seen], colour));
    tokens = [];
    ask();
  }

  async function ask() {
    const text = field.text;
    lines.draw(predictText(api, bar.model, text || EXAMPLE));
    if (!text.trim()) return take([], [], text);
    if (!stream) return whole(text);
    try {
      const result = await stream.latest({ rewrite: text });
      if (!result) return;
      tokens = [...tokens.filter((token) => token.start < result.since), ...result.tokens];
      if (text === field.text) take(tokens, gathered(tokens, text), text);
    } catch (error) {
      note.problem(error);
    }
  }

  function take(all, entities, text) {
    note.clear();
    const place = placesIn(text);
    const isTagging = entities.length > 0 || all.every((token) => /^([BIES]-.+|O)$/.test(token.label));
    const shown = isTagging ? entities : all;
    for (const { label } of shown) seen.add(kind(label));
    meaning.replaceChildren(legend("entities-legend", [...seen], colour));
    field.marks = shown.map((one) => ({
      start: place(one.start),
      end: place(one.end),
      hue: colour(kind(one.label)),
      strength: 0.35 + 0.65 * one.score,
      data: one,
    }));
    found.replaceChildren(
      ...shown.map((one) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              class: "chip",
              style: { "--hue": colour(kind(one.label)) },
              "data-testid": "entities-chip",
              onfocus: () => note.hint(said(one)),
              onpointerenter: () => note.hint(said(one)),
              onclick: () => {
                field.area.focus();
                field.area.setSelectionRange(place(one.start), place(one.end));
              },
            },
            h("span", {}, one.text),
            h("span", { class: "chip-label" }, one.label),
            h("span", { class: "chip-score" }, percent(one.score)),
          ),
        ),
      ),
    );
  }

  return { show: () => stream === null && connect() };
}

/** The type of a label of entities: what is behind its B-, I-, E- or S-. */
const kind = (label) => label.replace(/^[BIES]-/, "");

const said = ({ text, label, score }) => `“${text}” is ${label}, with probability ${percent(score, 1)}`;

/** Entities out of labels that came one by one; as sure as the least sure of their tokens. */
function gathered(tokens, text) {
  const place = placesIn(text);
  const found = [];
  let open = null;
  for (const { start, end, label, score } of tokens) {
    const [, part, type] = /^([BIES])-(.+)$/.exec(label) ?? [];
    const goes = open && open.label === type && (part === "I" || part === "E");
    if (!goes) open = part ? { start, end, label: type, score } : null;
    if (open && !goes) found.push(open);
    if (goes) Object.assign(open, { end, score: Math.min(open.score, score) });
    if (part === "E" || part === "S") open = null;
  }
  return found.map((one) => ({ ...one, text: text.slice(place(one.start), place(one.end)) }));
}
