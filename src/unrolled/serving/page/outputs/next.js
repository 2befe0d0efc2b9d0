/** What may come next, in grey ahead of the caret: Tab takes it; and a text that is continued. */

import { button, h } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { curlJson, python, pythonLines, short } from "../lib/programs.js";
import { slider } from "../lib/widgets.js";
import { Keystrokes } from "./keystrokes.js";

const FIRST_GUESS = 0.4;
/** tokens that are continued with */
const LENGTH = 200;
/** characters before the caret that are read; where they begin moves in such steps, so that little is read anew */
const WINDOW = 2048;
/** what a keystroke brings, rather than pasting or undoing */
const TYPING = /^insert(Text|CompositionText|LineBreak)$/;

export class NextOutput {
  options = { n: 3 };
  hint = "Suggestions appear in grey; press Tab to accept.";

  constructor({ id, model, kept, note, api, input, ask }) {
    Object.assign(this, { id, model, kept, note, api, input, ask, editor: input.editor ?? null });
    this.threshold = kept.get("threshold", null);
    Object.assign(this, { offered: null, isHidden: false, isAccepting: false, writing: null, before: null, at: null });
    this.best = [];
    this.offers = h("div", { class: "offers", role: "group", "aria-label": "Most likely next" });
    this.offers.dataset.testid = `${id}-offers`;
    this.tally = new Keystrokes({ id, kept });
    this.root = h("div", {}, h("div", { class: "row under" }, this.offers, this.tally.root));
    if (this.editor) this.root.append(this.confidence(), ...(model.writes ? [this.continuing()] : []), keysHelp(id));
    if (this.editor) this.listen();
  }

  listen() {
    const { editor } = this;
    editor.area.setAttribute("aria-describedby", `${this.id}-keys`);
    editor.area.addEventListener("keydown", (event) => this.key(event));
    editor.area.addEventListener("input", (event) => this.typed(event));
    editor.moved = () => this.moved();
    editor.accepted = () => this.offered?.isVisible && this.accept(this.offered.next);
  }

  confidence() {
    const change = (threshold) => {
      this.threshold = threshold;
      this.kept.set("threshold", threshold);
      this.reset.hidden = threshold === null;
      this.ask();
    };
    this.sure = slider({
      id: `${this.id}-confidence`,
      label: "Suggest when at least",
      min: 0.05,
      max: 0.99,
      step: 0.01,
      value: this.threshold === null ? FIRST_GUESS : Math.exp(this.threshold),
      told: (p) => `${percent(p)} sure.`,
      oninput: (p) => change(Math.log(p)),
    });
    this.reset = button(`${this.id}-reset`, "Reset", () => change(null), { class: "quiet" });
    this.reset.hidden = this.threshold === null;
    return h("div", { class: "row settings" }, this.sure.root, this.reset);
  }

  continuing() {
    this.wild = slider({
      id: `${this.id}-temperature`,
      label: "Temperature",
      min: 0,
      max: 1.5,
      step: 0.05,
      value: 0.8,
      told: (t) => `${t.toFixed(2)}${t === 0 ? ", the most likely" : t < 0.7 ? ", careful" : t > 1.1 ? ", wild" : ""}`,
    });
    this.go = button(`${this.id}-continue`, "Continue writing", () => this.write());
    this.back = button(`${this.id}-undo`, "Undo", () => this.undo(), { class: "quiet", disabled: true });
    return h("div", { class: "row settings" }, this.wild.root, this.back, this.go);
  }

  /** The end of what stands before the caret. */
  get head() {
    const text = this.editor.text.slice(0, this.editor.caret ?? this.editor.area.selectionEnd);
    const start = text.length > 2 * WINDOW ? WINDOW * (Math.floor(text.length / WINDOW) - 1) : 0;
    return text.slice(/[\udc00-\udfff]/.test(text[start] ?? "") ? start + 1 : start);
  }

  push() {
    const threshold = this.threshold === null ? {} : { threshold: this.threshold };
    return this.editor ? { rewrite: this.head, n: 3, ...threshold } : this.input.push();
  }

  typed({ inputType = "", data }) {
    const { editor } = this;
    // who types over what is being written takes over
    if (!this.isAccepting) this.writing?.abort();
    // what was pasted or undone cost no keystroke a letter
    if (!this.isAccepting && TYPING.test(inputType)) this.tally.typed((data ?? "\n").length);
    // a suggestion that was waved away stays away until the next word
    if (/\s/.test(data ?? "") || inputType === "insertLineBreak") this.isHidden = false;
    this.at = editor.caret;
    this.pills([]);
    const { offered, at } = this;
    const { text } = editor;
    // what was offered still stands if its next letters were typed
    const follows =
      offered &&
      at > offered.at &&
      text.slice(0, offered.at) === offered.text &&
      offered.next.startsWith(text.slice(offered.at, at)) &&
      offered.next.length > at - offered.at;
    if (follows) this.show(offered.next.slice(at - offered.at), at);
    else this.hide();
  }

  /** What was suggested for another place is void. */
  moved() {
    const { caret } = this.editor;
    if (caret === this.at) return;
    this.at = caret;
    this.pills([]);
    this.hide();
    if (caret !== null && !this.writing) this.ask();
  }

  draw([{ shown, suggestions, threshold }]) {
    const next = typeof shown === "string" ? { text: shown } : shown;
    this.take({ shown: next, suggestions, threshold });
  }

  pushed(answer, value, isCurrent) {
    if (isCurrent && !this.writing) this.take(answer);
  }

  take({ shown, suggestions, threshold }) {
    if (this.sure && this.threshold === null) {
      if (threshold !== null) this.sure.value = Math.exp(threshold);
      else {
        // this model was fitted without a threshold
        this.threshold = Math.log(this.sure.value);
        this.ask();
        return;
      }
    }
    const isFree = !this.editor || (this.editor.caret !== null && !this.editor.isComposing);
    this.pills(isFree ? suggestions : []);
    if (!this.editor) return;
    this.at = this.editor.caret;
    if (shown && isFree && !this.isHidden) this.show(shown.text, this.at);
    else this.hide();
  }

  pills(suggestions) {
    this.best = suggestions.toSorted((a, b) => b.score - a.score).slice(0, 3);
    const begun = this.editor ? /\S*$/.exec(this.editor.text.slice(0, this.at ?? 0))[0] : "";
    const all = this.best.map(({ text, score }) => this.pill(text, score, begun));
    this.offers.replaceChildren(...(all.length ? [h("span", { class: "soft" }, "Most likely next")] : []), ...all);
  }

  pill(text, score, begun) {
    return button(`${this.id}-offer`, /^\s/.test(text) ? text.trim() : begun + text, () => this.accept(text), {
      class: "offer",
      title: `${percent(Math.exp(score))} sure of each token`,
    });
  }

  show(next, at) {
    const isVisible = this.editor.ghost(next, at);
    this.offered = { text: this.editor.text.slice(0, at), next, at, isVisible };
  }

  hide() {
    this.offered = null;
    this.editor?.ghost(null);
  }

  key(event) {
    if (!this.offered?.isVisible || event.isComposing || event.shiftKey) return;
    const forward = this.editor.isRightToLeft ? "ArrowLeft" : "ArrowRight";
    const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey;
    const { next } = this.offered;
    if (isPlain && (event.key === "Tab" || event.key === forward)) this.accept(next);
    else if (event.key === forward && (event.altKey || event.ctrlKey)) this.accept(/^\s*\S+/.exec(next)?.[0] ?? next);
    else if (isPlain && event.key === "Escape") {
      this.isHidden = true;
      this.hide();
    } else return;
    event.preventDefault();
  }

  accept(text) {
    if (!this.editor) return;
    // the browser may have moved the caret to where the suggestion was pressed
    if (this.at !== null) this.editor.area.setSelectionRange(this.at, this.at);
    this.type(text);
    this.tally.accepted(text.length);
  }

  /** Put in at the caret what nobody typed. */
  type(text) {
    this.isAccepting = true;
    this.editor.type(text);
    this.isAccepting = false;
  }

  async write() {
    if (this.writing) return this.writing.abort();
    const { editor } = this;
    this.before = editor.text;
    // what was selected stays
    editor.area.setSelectionRange(editor.area.selectionEnd, editor.area.selectionEnd);
    const asked = {
      prompt: this.head,
      max_tokens: LENGTH,
      temperature: this.wild.value,
      seed: Math.floor(Math.random() * 1e6),
    };
    this.writing = new AbortController();
    this.go.textContent = "Stop";
    this.back.disabled = false;
    this.pills([]);
    this.hide();
    try {
      await this.api.write(this.model.name, asked, (piece) => this.type(piece), this.writing.signal);
      this.note.clear();
    } catch (error) {
      this.note.problem(error);
    } finally {
      this.writing = null;
      this.go.textContent = "Continue writing";
      this.ask();
    }
  }

  undo() {
    this.writing?.abort();
    this.back.disabled = true;
    this.isAccepting = true;
    this.editor.replace(this.before);
    this.isAccepting = false;
  }

  clear() {
    this.pills([]);
    this.hide();
  }

  facts() {
    return this.best.map(({ text, score, log_prob: logProb }) => [
      `“${text.trim()}”`,
      `${logProb.toFixed(2)} nats, ${score.toFixed(3)} a token`,
    ]);
  }

  lines(value) {
    const { api, model } = this;
    const text = short(value);
    const name = python(model.name);
    const given = { max_tokens: LENGTH, temperature: this.wild?.value ?? 0.8 };
    const predict = curlJson(api, api.path(model.name, "predict"), { inputs: [text], options: { n: 3 } });
    const stream = [`stream = client.stream(${name})`, `print(stream.push(rewrite=${python(text)}))`];
    if (!model.writes) return { curl: predict, python: pythonLines(api, ...stream) };
    const write = curlJson(api, api.path(model.name, "write"), { prompt: text, ...given }, { events: true });
    const call = `client.write(${name}, ${python(text)}, max_tokens=${LENGTH}, temperature=${given.temperature})`;
    const writing = [`for piece in ${call}:`, '    print(piece, end="", flush=True)'];
    return { curl: `${predict}\n\n${write}`, python: pythonLines(api, ...stream, "", ...writing) };
  }
}

const keysHelp = (id) =>
  h(
    "p",
    { class: "soft keys", id: `${id}-keys` },
    h("kbd", {}, "Tab"),
    ", ",
    h("kbd", {}, "→"),
    ", a tap or a swipe accepts; ",
    h("kbd", {}, "Alt"),
    " + ",
    h("kbd", {}, "→"),
    " accepts a word; ",
    h("kbd", {}, "Esc"),
    " hides suggestions until the next word, and then Tab leaves the field.",
  );
