/** Translate: a translation as the source is typed, and where the network looked for each piece of it. */

import { h, later, memory, number, onlyLast, signed } from "../dom.js";
import { editor } from "../editor.js";
import { predictText, programs } from "../programs.js";
import { bars, modelBar, notice } from "../widgets.js";

export const view = "translate";
export const title = "Translate";

const EXAMPLE = "Ein Mann fährt mit einem Fahrrad durch die Stadt.";
const OPTIONS = { n_best: 5 };
const WAIT = 250;

export function mount(root, models, api) {
  const kept = memory(view);
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Type a sentence. Point at a word of the translation to see what the network looked at as it wrote it.",
    chosen: () => ask.now(),
    example: () => {
      field.text = EXAMPLE;
    },
  });
  const field = editor({
    id: "translate-text",
    label: "From",
    placeholder: "A sentence …",
    value: kept.get("text", ""),
    oninput: (text) => {
      kept.set("text", text);
      ask();
    },
  });
  const output = h("div", {
    class: "sheet-out",
    id: "translate-result",
    "data-testid": "translate-result",
    role: "group",
    "aria-label": "Translation",
  });
  const others = bars("translate-best", "Translations, the best first");
  const ask = later(translate, WAIT);
  const predict = onlyLast((signal, text) => api.predict(bar.model.name, text, OPTIONS, signal));

  root.append(
    bar.root,
    h(
      "div",
      { class: "pair" },
      field.root,
      h("div", { class: "field" }, h("p", { class: "label" }, "To"), h("div", { class: "editor out" }, output)),
    ),
    note.root,
    h(
      "section",
      { class: "block", "aria-labelledby": "translate-others" },
      h("h2", { id: "translate-others" }, "The best it found"),
      others.root,
    ),
    lines.root,
  );

  async function translate() {
    lines.draw(predictText(api, bar.model, field.text || EXAMPLE, OPTIONS));
    const inputs = field.text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    if (!inputs.length) {
      field.marks = [];
      output.replaceChildren();
      others.draw([]);
      return note.clear();
    }
    output.classList.add("stale");
    try {
      draw(await predict(inputs));
      note.clear();
    } catch (error) {
      note.problem(error);
    }
    output.classList.remove("stale");
  }

  function draw(predictions) {
    let from = 0;
    output.replaceChildren(
      ...predictions.map((one, n) => {
        const start = field.text.indexOf(one.source, from);
        from = start < 0 ? from : start + one.source.length;
        return line(one, start, n === 0);
      }),
    );
    if (predictions.length) best(predictions[0]);
  }

  /** One translation, its tokens in the order of the keys: one in the tab order, arrows to the others. */
  function line(one, start, first) {
    const shown = one.target_tokens.slice(0, -1);
    const source = places(one.source_tokens, one.source, start);
    const tokens = shown.flatMap((token, n) => [
      n ? /^\s*/.exec(token)[0] : "",
      h(
        "span",
        {
          class: "token",
          tabindex: first && n === 0 ? "0" : "-1",
          role: "button",
          "data-testid": "translate-token",
          onpointerenter: () => look(one, n, source),
          onfocus: () => (best(one), look(one, n, source)),
          onpointerleave: rest,
          onblur: rest,
          onkeydown: step,
        },
        token.trimStart(),
      ),
    ]);
    return h("p", { class: "line" }, tokens.length ? tokens : one.text);
  }

  function step(event) {
    const all = [...output.querySelectorAll(".token")];
    const at = all.indexOf(event.currentTarget);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || !all[to]) return;
    event.preventDefault();
    event.currentTarget.tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
  }

  function look(one, n, source) {
    const weights = one.attention[n];
    const top = Math.max(...weights, 1e-9);
    field.marks = source
      .map((place, k) => ({ ...place, hue: "var(--accent)", strength: (1.6 * weights[k]) / top, weight: weights[k] }))
      .filter(({ start, end, weight }) => end > start && weight > 0.02);
    const said = weights
      .map((weight, k) => [one.source_tokens[k].trim(), weight])
      .filter(([, w]) => w > 0.05)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4)
      .map(([token, w]) => `${token || "space"} ${number(100 * w, 2)} %`);
    note.hint(`“${one.target_tokens[n].trim()}” looked at ${said.join(", ")}`);
  }

  function rest() {
    field.marks = [];
    note.hint("");
  }

  function best({ candidates }) {
    const top = Math.max(...candidates.map((candidate) => candidate.log_prob));
    others.draw(
      candidates.map(({ text, log_prob: logProb }) => ({
        label: text,
        share: Math.exp(logProb - top),
        told: `${signed(logProb, 1)} nats`,
      })),
    );
  }

  return { show: () => ask.now() };
}

/** Where the tokens of a source stand in the field; tokens that do not spell it stand nowhere. */
function places(tokens, source, start) {
  let at = start;
  return tokens.map((token) => {
    const piece = token.trim(),
      found = start < 0 || !piece ? -1 : source.indexOf(piece, at - start);
    if (found < 0 || found > at - start + 1) return { start: 0, end: 0 };
    at = start + found + piece.length;
    return { start: start + found, end: at };
  });
}
