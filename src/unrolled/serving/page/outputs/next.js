/** Write: what may come next stands in grey ahead of the cursor, and Tab takes it. */

import { h, later, memory, percent, signed } from "../dom.js";
import { editor } from "../editor.js";
import { keystrokes } from "../keystrokes.js";
import { curlJson, programs, python, pythonLines, short } from "../programs.js";
import { modelBar, notice, slider } from "../widgets.js";

export const view = "write";
export const title = "Write";

const EXAMPLE = "Thank you for ";
const FIRST_GUESS = 0.4;
/** tokens that are written on */
const LENGTH = 200;

export function mount(root, models, api) {
  const kept = memory(view);
  const bar = modelBar(view, models, {
    hint: "Type, and what the model expects stands in grey. Tab takes it.",
    chosen: () => (connect(), told()),
    example: () => {
      clear();
      field.text = EXAMPLE;
      field.area.focus();
      field.area.setSelectionRange(EXAMPLE.length, EXAMPLE.length);
      ask();
    },
  });
  const note = notice(view);
  const lines = programs(view);
  const field = editor({
    id: "write-text",
    label: "Your text",
    placeholder: "Dear …",
    value: kept.get("text", ""),
    describedby: "write-keys",
    oninput: typed,
  });
  const offers = h("div", {
    class: "offers",
    "data-testid": "write-offers",
    role: "group",
    "aria-label": "Suggestions",
  });
  const sure = slider({
    id: "write-confidence",
    label: "Confidence",
    min: 0.05,
    max: 0.99,
    step: 0.01,
    value: FIRST_GUESS,
    told: (p) => `shows what it gives ${percent(p)} a token (${signed(Math.log(p))} nats)`,
    oninput: (p) => {
      threshold = Math.log(p);
      kept.set("threshold", threshold);
      fitted.hidden = false;
      ask();
    },
  });
  const fitted = h(
    "button",
    {
      type: "button",
      class: "quiet",
      hidden: true,
      "data-testid": "write-fitted",
      onclick: () => {
        threshold = null;
        kept.set("threshold", null);
        fitted.hidden = true;
        ask();
      },
    },
    "As fitted",
  );
  const tally = keystrokes(kept);
  const wild = slider({
    id: "write-temperature",
    label: "Temperature",
    min: 0,
    max: 1.5,
    step: 0.05,
    value: 0.8,
    told: (t) => `${t.toFixed(2)} ${t === 0 ? "the likeliest" : t < 0.7 ? "careful" : t > 1.1 ? "wild" : ""}`,
    oninput: () => told(),
  });
  const go = h("button", { type: "button", "data-testid": "write-on", onclick: writeOn }, "Write on");
  const back = h(
    "button",
    { type: "button", class: "quiet", disabled: true, "data-testid": "write-back", onclick: takeBack },
    "Take it back",
  );

  let stream = null,
    threshold = kept.get("threshold", null),
    offered = null,
    hidden = false;
  let accepting = false,
    writing = null,
    before = null;
  const redraw = later(told, 200);

  root.append(
    bar.root,
    field.root,
    h("div", { class: "row under" }, offers, tally.root),
    note.root,
    h("div", { class: "row settings" }, sure.root, fitted),
    h("div", { class: "row settings" }, wild.root, back, go),
    h(
      "p",
      { class: "soft keys", id: "write-keys" },
      h("kbd", {}, "Tab"),
      " takes all, ",
      h("kbd", {}, "Alt"),
      " + ",
      h("kbd", {}, "→"),
      " a word, ",
      h("kbd", {}, "Esc"),
      " hides it; then Tab leaves the field.",
    ),
    lines.root,
  );
  if (threshold !== null) {
    sure.value = Math.exp(threshold);
    fitted.hidden = false;
  }
  field.area.addEventListener("keydown", keys);
  field.area.addEventListener("blur", () => field.ghost(null));
  document.addEventListener("selectionchange", () => {
    if (document.activeElement === field.area && offered && field.area.selectionEnd !== offered.at) hide();
  });
  told();

  function connect() {
    stream?.close();
    stream = api.stream(bar.model.name);
    ask();
  }

  /** Characters a person typed, or what was accepted: the text is different now. */
  function typed(text, { inputType = "", isTrusted }) {
    // who types over what is being written takes over
    if (isTrusted) writing?.abort();
    const caret = field.area.selectionEnd;
    // what was pasted or undone cost no keystroke a letter
    if (!accepting && /^insert(Text|CompositionText|LineBreak)$/.test(inputType)) {
      tally.typed(Math.max(0, text.length - kept.get("text", "").length));
    }
    kept.set("text", text);
    hidden = false;
    // what was offered still stands if the person typed its next letters
    const follows =
      offered &&
      text.slice(0, caret).startsWith(offered.text) &&
      caret > offered.at &&
      offered.next.startsWith(text.slice(offered.at, caret)) &&
      offered.next.length > caret - offered.at;
    if (follows) show(offered.next.slice(caret - offered.at), caret);
    else hide();
    ask();
    redraw();
  }

  async function ask() {
    if (!stream || writing !== null) return;
    const text = field.text.slice(0, field.area.selectionEnd);
    const push = { rewrite: text, n: 3, ...(threshold === null ? {} : { threshold }) };
    try {
      const result = await stream.latest(push);
      if (result && text === field.text.slice(0, field.area.selectionEnd)) take(result, text);
    } catch (error) {
      note.problem(error);
    }
  }

  function take(result, text) {
    note.clear();
    if (threshold === null && result.threshold !== null) sure.value = Math.exp(result.threshold);
    if (threshold === null && result.threshold === null) {
      note.say("This model has no threshold of its own; the slider sets one.");
      threshold = Math.log(sure.value);
      return ask();
    }
    pills(result.suggestions ?? []);
    if (result.shown && !hidden) show(result.shown.text, text.length);
    else hide();
  }

  function pills(suggestions) {
    const best = suggestions.toSorted((a, b) => b.score - a.score).slice(0, 3);
    const begun = /\S*$/.exec(field.text.slice(0, field.area.selectionEnd))[0];
    offers.replaceChildren(
      ...best.map(({ text, score }) =>
        h(
          "button",
          {
            type: "button",
            class: "offer",
            title: `${percent(Math.exp(score))} a token`,
            "data-testid": "write-offer",
            onclick: () => (accept(text), field.area.focus()),
          },
          /^\s/.test(text) ? text.trim() : begun + text,
        ),
      ),
    );
  }

  function show(next, at) {
    offered = { text: field.text.slice(0, at), next, at };
    const focused = document.activeElement === field.area;
    if (!focused || !field.ghost(next, at)) field.ghost(null);
    offered.visible = focused && field.root.querySelector(".ghost") !== null;
  }

  function hide() {
    offered = null;
    field.ghost(null);
  }

  function keys(event) {
    if (!offered?.visible || event.isComposing) return;
    if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey && !event.altKey) accept(offered.next);
    else if (event.key === "ArrowRight" && (event.altKey || event.ctrlKey))
      accept(/^\s*\S+/.exec(offered.next)?.[0] ?? offered.next);
    else if (event.key === "Escape") {
      hidden = true;
      hide();
    } else return;
    event.preventDefault();
  }

  /** Put text in at the cursor, so that the browser's undo takes it back. */
  function accept(text) {
    accepting = true;
    field.area.focus();
    if (!document.execCommand("insertText", false, text)) {
      field.area.setRangeText(text, field.area.selectionStart, field.area.selectionEnd, "end");
      field.area.dispatchEvent(new Event("input"));
    }
    accepting = false;
    tally.accepted(text.length);
  }

  function clear() {
    tally.clear();
    kept.set("text", "");
  }

  async function writeOn() {
    if (writing) return writing.abort();
    before = field.text;
    const at = field.area.selectionEnd;
    const head = field.text.slice(0, at),
      tail = field.text.slice(at);
    let written = "";
    writing = new AbortController();
    go.textContent = "Stop";
    back.disabled = false;
    offers.replaceChildren();
    hide();
    try {
      await api.write(
        bar.model.name,
        asked(head),
        (piece) => {
          written += piece;
          field.text = head + written + tail;
          field.area.setSelectionRange(at + written.length, at + written.length);
        },
        writing.signal,
      );
      note.clear();
    } catch (error) {
      note.problem(error);
    } finally {
      writing = null;
      go.textContent = "Write on";
      ask();
    }
  }

  function takeBack() {
    writing?.abort();
    back.disabled = true;
    accepting = true;
    field.text = before;
    accepting = false;
    field.area.focus();
  }

  function asked(prompt) {
    return { prompt, max_tokens: LENGTH, temperature: wild.value, seed: Math.floor(Math.random() * 1e6) };
  }

  function told() {
    const text = short(field.text || EXAMPLE);
    const name = python(bar.model.name);
    const options = { max_tokens: LENGTH, temperature: wild.value };
    lines.draw({
      curl: [
        curlJson(api, api.path(bar.model.name, "predict"), { inputs: [text], options: { n: 3 } }),
        curlJson(api, api.path(bar.model.name, "write"), { prompt: text, ...options }, { events: true }),
      ].join("\n\n"),
      python: pythonLines(
        api,
        `stream = client.stream(${name})`,
        `print(stream.push(rewrite=${python(text)}))`,
        "",
        `for piece in client.write(${name}, ${python(text)}, max_tokens=${LENGTH}, temperature=${wild.value}):`,
        '    print(piece, end="", flush=True)',
      ),
    });
  }

  return { show: () => stream === null && connect() };
}
