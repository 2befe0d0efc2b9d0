/** What tabs, inputs and outputs are made of: the line on top, notices, bars, legends, sliders, a place for files. */

import { button, h } from "./dom.js";
import { number, percent } from "./format.js";
import { worded } from "./problem.js";

/**
 * The line on top of a tab: a hint, which model (a picker where there are several), and buttons.
 * @param {{id: string, models: object[], kept: object, chosen: (model: object) => void, buttons?: Node[]}} options
 */
export function modelBar({ id, models, kept, chosen, buttons = [] }) {
  const bar = { model: models.find((model) => model.name === kept.get("model")) ?? models[0] };
  const hint = h("p", { class: "hint", "data-testid": `${id}-hint` });
  const about = h("p", { class: "soft origin", "data-testid": `${id}-about` });
  const pick = ({ target }) => {
    bar.model = models[target.selectedIndex];
    kept.set("model", bar.model.name);
    chosen(bar.model);
  };
  const options = models.map((model) => h("option", { selected: model === bar.model }, model.name));
  const looks = { "data-testid": `${id}-model`, id: `${id}-model` };
  const name =
    models.length > 1
      ? h("select", { ...looks, "aria-label": "Model", onchange: pick }, options)
      : h("strong", { ...looks, class: "model" }, bar.model.name);
  bar.root = h(
    "header",
    { class: "bar" },
    hint,
    h("div", { class: "row" }, name, h("span", { class: "push row" }, buttons)),
    about,
  );
  bar.about = (text) => (about.textContent = text);
  bar.hint = (text) => (hint.textContent = text);
  return bar;
}

/** One quiet line that keeps its place: problems, hints, progress. */
export class Notice {
  constructor(id) {
    this.root = h("p", { class: "notice", role: "status", "data-testid": `${id}-notice` });
    /** the name of the file that errors are about */
    this.file = "";
  }

  say(text, bad = false) {
    if (this.root.textContent === text) return;
    this.root.textContent = text;
    this.root.classList.toggle("problem", bad);
  }

  problem(error) {
    if (error.name !== "AbortError") this.say(worded(error, this.file), true);
  }

  clear() {
    this.say("");
  }

  /** What the pointer is on; never instead of a problem. */
  hint(text) {
    if (!this.root.classList.contains("problem")) this.say(text);
  }
}

/** Horizontal bars with names and shares, in the order given. */
export function bars(testid, label) {
  const root = h("ul", { class: "bars", "aria-label": label, "data-testid": testid });
  return {
    root,
    /** @param {{label: string, share: number, told?: string, colour?: string}[]} rows */
    draw(rows) {
      root.replaceChildren(...rows.map(bar));
    },
  };
}

function bar({ label, share, told, colour = "var(--accent)" }) {
  const width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return h(
    "li",
    {},
    h("span", { class: "name", title: label }, label),
    h("span", { class: "track" }, h("span", { class: "fill", style: { width, "--hue": colour } })),
    h("span", { class: "value" }, told ?? percent(share, 1)),
  );
}

/** The label that a model chose, and how sure it is: `.say("pos", 0.83, colour)`, `.say(null)`. */
export function verdict(testid) {
  const label = h("strong", { class: "verdict", "data-testid": testid });
  const share = h("span", { class: "soft" });
  const one = {
    root: h("p", { class: "sure" }, label, share),
    say(text, probability, colour = "var(--accent)", more = "") {
      label.textContent = text ?? "–";
      label.style.setProperty("--hue", text === null ? "var(--line)" : colour);
      share.textContent = text === null ? "" : `${percent(probability)}${more}`;
    },
  };
  one.say(null);
  return one;
}

/** What the colours of labels mean. */
export function legend(testid, labels, colour, name = (label) => label) {
  const row = (label) => h("li", {}, h("span", { class: "dot", style: { "--hue": colour(label) } }), name(label));
  return h("ul", { class: "legend", "aria-label": "Labels", "data-testid": testid }, labels.map(row));
}

/**
 * A place for a file: chosen there, or dropped or pasted anywhere on the page while its tab shows.
 * @param {{id: string, accept: string, title: string, hint: string, taken: (file: File) => void}} options
 */
export function dropZone({ id, accept, title, hint, taken }) {
  const input = h("input", {
    type: "file",
    accept,
    id: `${id}-file`,
    class: "hidden",
    "data-testid": `${id}-file`,
    onchange: () => {
      if (input.files.length) taken(input.files[0]);
      input.value = "";
    },
  });
  const name = h("span", { class: "soft", "data-testid": `${id}-file-name` }, hint);
  const label = h("label", { for: input.id, class: "drop-label" }, h("strong", {}, title), name);
  return {
    root: h("div", { class: "drop", "data-testid": `${id}-drop`, onfile: ({ detail }) => taken(detail) }, input, label),
    name(text) {
      name.textContent = text || hint;
    },
  };
}

/** Hand files that are dropped or pasted to the drop zone that shows; called once. */
export function takeFiles() {
  const zone = () => document.querySelector(".panel:not([hidden]) .drop");
  const take = (event, files) => {
    if (!files?.length) return;
    event.preventDefault();
    zone()?.dispatchEvent(new CustomEvent("file", { detail: files[0] }));
  };
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    zone()?.classList.add("over");
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? zone()?.classList.remove("over"));
  addEventListener("drop", (event) => {
    zone()?.classList.remove("over");
    take(event, event.dataTransfer.files);
  });
  addEventListener("paste", (event) => take(event, event.clipboardData.files));
}

/** A slider with what its value means beside it. */
export function slider({ id, label, min, max, step, value, told, oninput }) {
  const output = h("output", { for: id, class: "soft", id: `${id}-told` }, told(value));
  const say = () => (output.textContent = told(Number(input.value)));
  const moved = () => (say(), oninput?.(Number(input.value)));
  const looks = { type: "range", id, min, max, step, value, "data-testid": id, "aria-describedby": `${id}-told` };
  const input = h("input", { ...looks, oninput: moved });
  return {
    root: h("div", { class: "slider" }, h("label", { for: id }, label), input, output),
    input,
    get value() {
      return Number(input.value);
    },
    set value(now) {
      input.value = now;
      say();
    },
  };
}

/** Facts that few people want at first sight: terms and what stands for them, behind a disclosure. */
export function details(id) {
  const list = h("dl", { class: "facts", "data-testid": `${id}-facts` });
  const root = h("details", { class: "about", "data-testid": `${id}-details` }, h("summary", {}, "Details"), list);
  return {
    root,
    /** @param {[string, string | number | null | undefined][]} rows */
    draw(rows) {
      const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
      list.replaceChildren(...known.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, `${value}`)]));
    },
  };
}

/** What is known of a model, for `details`. */
export function factsOf({ name, summary, shape, parameters, network, result, no_streams: noStreams }) {
  const size = network.hidden_size && `${network.num_layers ?? 1} × ${network.hidden_size}`;
  const measured = Object.entries(result.dev ?? {})
    .filter(([, value]) => typeof value === "number")
    .map(([metric, value]) => `${metric.replaceAll("_", " ")} ${number(value)}`);
  return [
    ["Model", name],
    ["Task", summary],
    ["Network", [network.cell?.toUpperCase(), size].filter(Boolean).join(" ")],
    ["Shape", shape],
    ["Parameters", parameters.toLocaleString("en")],
    ["On development data", measured.slice(0, 5).join(", ")],
    ["Streaming", noStreams && "No, it needs the whole input."],
  ];
}

/** A row of words of which each may be looked at: pointed at, reached by arrow keys, or tapped until the next tap. */
export function tokens(testid, words, { look, rest }) {
  let held = null;
  const each = words.map((word, n) => {
    const tap = () => {
      held?.classList.remove("held");
      held = held === each[n] ? null : each[n];
      held?.classList.add("held");
      if (held) look(n);
      else rest();
    };
    const away = () => (held ? null : rest());
    const over = () => (held ? null : look(n));
    return button(testid, word, tap, {
      class: "token",
      tabindex: n ? "-1" : "0",
      onpointerenter: over,
      onpointerleave: away,
      onfocus: over,
      onblur: away,
    });
  });
  return each;
}
