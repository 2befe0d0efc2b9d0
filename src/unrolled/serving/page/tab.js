/** The tab of a use: a model's input and its output, joined. What is given there is answered here. */

import { inputFor } from "./inputs/index.js";
import { button, h, memory, onlyLast } from "./lib/dom.js";
import { predictLines, programs } from "./lib/programs.js";
import { details, factsOf, modelBar, Notice } from "./lib/widgets.js";
import { outputFor } from "./outputs/index.js";

/** milliseconds without a letter before a text is predicted whole */
const WAIT = 150;

export class Tab {
  /**
   * @param {{key: string, models: object[], api: import("./lib/api.js").Api}} options `models`: those of one use, as
   *   GET /v1/models lists them
   */
  constructor({ key, models, api }) {
    Object.assign(this, { id: key, models, api, stream: null, turn: 0, isIdle: true });
    this.kept = memory(key);
    this.note = new Notice(key);
    this.lines = programs(key);
    this.more = details(key);
    this.predict = onlyLast((signal, inputs, options) => api.predict(this.model.name, inputs, options, signal));
  }

  mount(root) {
    this.bar = modelBar({
      id: this.id,
      models: this.models,
      kept: this.kept,
      chosen: () => this.choose(),
      buttons: [
        button(`${this.id}-example`, "Example", () => this.example(), { class: "quiet" }),
        button(`${this.id}-clear`, "Clear", () => this.input.clear(), { class: "quiet" }),
      ],
    });
    this.place = h("div", { class: "use" });
    root.append(this.bar.root, this.place, this.more.root, this.lines.root);
    this.choose();
  }

  get model() {
    return this.bar.model;
  }

  /** Another model: its input with what was given before, where it is of the same kind, or with an example. */
  choose() {
    const { model, id, kept, note, api } = this;
    const before = this.input;
    this.stop();
    const Input = inputFor(model);
    this.input = new Input({
      id,
      model,
      kept,
      note,
      changed: (isNew) => this.ask(isNew),
      connect: (options) => (model.streams ? api.stream(model.name, options) : null),
      pushed: (answer) => this.pushed(answer),
    });
    this.view = null;
    const View = outputFor(model);
    const ask = () => this.ask(false);
    this.view = new View({ id, model, kept, note, api, input: this.input, ask });
    this.place.replaceChildren(this.input.root, note.root, this.view.root);
    this.place.className = `use ${model.widget} to-${model.view}`;
    this.bar.hint([this.input.hint, this.view.hint].filter(Boolean).join(" "));
    this.bar.about(model.about);
    this.more.draw(factsOf(model));
    const given = before instanceof Input && this.isGiven ? valueOf(before) : null;
    if (this.input.isOwn) this.ask(true);
    else if (given !== null) this.input.show(given);
    else this.first();
  }

  /** The example of the model, to look at before anything is given. */
  first() {
    this.input.show(this.model.example.inputs[0]);
    this.isGiven = false;
  }

  example() {
    const [example] = this.model.example.inputs;
    if (this.input.type) this.input.type(example);
    else this.input.show(example);
  }

  /** The input is another: answer it, and nothing else. */
  async ask(isNew) {
    if (!this.view) return;
    this.turn += 1;
    const { turn } = this;
    this.isGiven = true;
    this.note.file = this.input.file?.name ?? "";
    try {
      const { value } = this.input;
      this.tell(value);
      if (value === null || isNew) this.view.clear();
      if (value === null) return this.note.clear();
      this.place.classList.add("waiting");
      if (isNew) this.note.say(this.input.file ? "Reading …" : "");
      const isDone = await (this.view.pushed && this.input.push ? this.streamed(value, turn) : this.whole(value, turn));
      if (isDone && turn === this.turn) this.note.say(this.input.warning ?? "");
    } catch (error) {
      if (turn !== this.turn) return;
      this.view.clear();
      this.note.problem(error);
    } finally {
      if (turn === this.turn) this.place.classList.remove("waiting");
    }
  }

  /** Push a text as it is now; where the model has no streams, predict it whole. */
  async streamed(value, turn) {
    if (!this.model.streams) return this.whole(value, turn, WAIT);
    this.stream ??= this.api.stream(this.model.name);
    const { view } = this;
    const answer = await this.stream.latest(view.push?.() ?? this.input.push());
    if (!answer || view !== this.view) return false;
    view.pushed(answer, value, turn === this.turn);
    this.say();
    return true;
  }

  async whole(value, turn, wait = 0) {
    if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
    if (turn !== this.turn) return false;
    const predictions = await this.predict(this.view.inputs?.(value) ?? [value], this.options);
    if (turn !== this.turn) return false;
    this.view.draw(predictions, value);
    this.say();
    return true;
  }

  /** An answer to what the input pushed by itself. */
  pushed(answer) {
    if (this.view.pushed) this.view.pushed(answer, this.input.value, true);
    this.tell(this.input.value);
    this.say();
  }

  /** Those of the view's options that the model takes. */
  get options() {
    const taken = this.model.options.properties ?? {};
    return Object.fromEntries(Object.entries(this.view.options ?? {}).filter(([name]) => name in taken));
  }

  say() {
    this.more.draw([...(this.view.facts?.() ?? []), ...factsOf(this.model)]);
  }

  /** What a program would ask. */
  tell(value) {
    const { api, model, input, options } = this;
    const shown = value ?? model.example.inputs[0];
    this.lines.draw(this.view.lines?.(shown) ?? predictLines(api, model, shown, input.file, options));
  }

  show() {
    // what was left while it was answered
    this.view?.shown?.();
  }

  hide() {
    this.input.stop?.();
  }

  stop() {
    this.turn += 1;
    this.input?.stop?.();
    this.stream?.close();
    this.stream = null;
  }
}

/** What was given, if it is anything that another model may be given too. */
function valueOf(input) {
  try {
    return input.value;
  } catch {
    return null;
  }
}
