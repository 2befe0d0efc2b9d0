/** What the tabs share: the line on top, notices, bars, a place to drop files. */

import { h, memory, number, percent } from "./dom.js";

/**
 * The line on top of a tab: which model (a picker where there are several), what it is, and the example button.
 * @param {string} view
 * @param {object[]} models
 * @param {{chosen: (model: object) => void, example?: () => void, hint: string}} hooks
 * @returns {{root: HTMLElement, model: object}} `model` is the one that is chosen now
 */
export function modelBar(view, models, { chosen, example, hint }) {
  const kept = memory(view);
  const bar = { model: models.find((model) => model.name === kept.get("model")) ?? models[0] };
  const facts = h("span", { class: "facts soft", "data-testid": `${view}-facts` });
  const say = () => {
    facts.textContent = factsOf(bar.model);
  };
  const name =
    models.length > 1
      ? h(
          "select",
          {
            id: `${view}-model`,
            "aria-label": "Model",
            "data-testid": `${view}-model`,
            onchange: ({ target }) => {
              bar.model = models[target.selectedIndex];
              kept.set("model", bar.model.name);
              say();
              chosen(bar.model);
            },
          },
          models.map((model) => h("option", { selected: model === bar.model }, model.name)),
        )
      : h("strong", { class: "model", "data-testid": `${view}-model` }, bar.model.name);
  say();
  bar.root = h(
    "header",
    { class: "bar" },
    h("p", { class: "hint" }, hint),
    h(
      "div",
      { class: "row" },
      name,
      facts,
      example &&
        h(
          "button",
          { type: "button", class: "quiet push", "data-testid": `${view}-example`, onclick: example },
          "Example",
        ),
    ),
  );
  return bar;
}

function factsOf({ task, shape, parameters }) {
  return [task, shape, parameters && `${compact(parameters)} parameters`].filter(Boolean).join(" · ");
}

function compact(count) {
  if (count >= 1e6) return `${number(count / 1e6, 2)} M`;
  return count >= 1e4 ? `${number(count / 1e3, 2)} k` : number(count, 4);
}

/** One quiet line that keeps its place: problems, hints, what goes on. */
export function notice(view) {
  const root = h("p", { class: "notice", role: "status", "data-testid": `${view}-notice` });
  const say = (text, bad = false) => {
    if (root.textContent === text) return;
    root.textContent = text;
    root.classList.toggle("problem", bad);
  };
  return {
    root,
    say: (text) => say(text),
    problem: (error) => error.name !== "AbortError" && say(error.message || String(error), true),
    clear: () => say(""),
    /** What the pointer is on; never instead of a problem. */
    hint: (text) => root.classList.contains("problem") || say(text),
  };
}

/**
 * Horizontal bars with names and shares, the longest first or in the order given.
 * @param {{label: string, share: number, told?: string, colour?: string}[]} rows
 */
export function bars(testid, label) {
  const root = h("ul", { class: "bars", "aria-label": label, "data-testid": testid });
  return {
    root,
    draw(rows) {
      root.replaceChildren(
        ...rows.map(({ label: name, share, told, colour }) =>
          h(
            "li",
            {},
            h("span", { class: "name", title: name }, name),
            h(
              "span",
              { class: "track" },
              h("span", {
                class: "fill",
                style: { width: `${100 * Math.max(0, Math.min(1, share))}%`, "--hue": colour ?? "var(--accent)" },
              }),
            ),
            h("span", { class: "value" }, told ?? percent(share, 1)),
          ),
        ),
      );
    },
  };
}

/** The label that a model chose, and how sure it is: `.say("pos", 0.83, colour)`, `.say(null)`. */
export function verdict(id) {
  const label = h("strong", { class: "verdict", id, "data-testid": id });
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
export function legend(testid, labels, colour) {
  return h(
    "ul",
    { class: "legend", "aria-label": "Labels", "data-testid": testid },
    labels.map((label) => h("li", {}, h("span", { class: "dot", style: { "--hue": colour(label) } }), label)),
  );
}

/**
 * A place for a file: chosen there, or dropped or pasted anywhere on the page while its tab shows.
 * @param {{view: string, accept: string, title: string, hint: string, taken: (file: File) => void}} options
 */
export function dropZone({ view, accept, title, hint, taken }) {
  const input = h("input", {
    type: "file",
    accept,
    id: `${view}-file`,
    class: "hidden",
    "data-testid": `${view}-file`,
    onchange: () => {
      if (input.files.length) taken(input.files[0]);
      input.value = "";
    },
  });
  const name = h("span", { class: "soft", "data-testid": `${view}-file-name` }, hint);
  const root = h(
    "div",
    { class: "drop", "data-testid": `${view}-drop`, onfile: ({ detail }) => taken(detail) },
    input,
    h("label", { for: input.id, class: "drop-label" }, h("strong", {}, title), name),
  );
  return {
    root,
    name(text) {
      name.textContent = text;
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
  const output = h("output", { for: id, class: "soft" }, told(value));
  const input = h("input", {
    type: "range",
    id,
    min,
    max,
    step,
    value,
    "data-testid": id,
    "aria-describedby": `${id}-told`,
    oninput: () => {
      output.textContent = told(Number(input.value));
      oninput?.(Number(input.value));
    },
  });
  output.id = `${id}-told`;
  return {
    root: h("div", { class: "slider" }, h("label", { for: id }, label), input, output),
    get value() {
      return Number(input.value);
    },
    set value(now) {
      input.value = now;
      output.textContent = told(Number(input.value));
    },
  };
}
