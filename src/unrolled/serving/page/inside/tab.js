/** Inside: what happens in a model for one input, step by step, forwards and backwards. */

import { inputFor } from "../inputs/index.js";
import { button, h, later, memory, onlyLast } from "../lib/dom.js";
import { capital } from "../lib/format.js";
import { brief, curlJson, programs, python, pythonLines } from "../lib/programs.js";
import { details, factsOf, modelBar, Notice } from "../lib/widgets.js";
import { gates } from "./gates.js";
import { lags } from "./lags.js";
import { connections, mattered } from "./mattered.js";
import { unfolding } from "./unfolding.js";
import { inPlainWords } from "./verdicts.js";

const WAIT = 500;
const STEPS = [16, 32, 64, 128, 256];
const PARTS = ["unfolding", "gates", "gradients", "mattered"];

export class Inside {
  constructor({ models, api }) {
    Object.assign(this, { models, api, id: "inside", answer: null, kept: memory("inside") });
    this.note = new Notice("inside");
    this.lines = programs("inside");
    this.more = details("inside");
    const inspect = (signal, asked) => api.inspect(this.model.name, this.input.value, asked, signal);
    this.inspect = onlyLast(inspect);
    this.inspectMore = onlyLast(inspect);
    this.soon = later(() => this.look(), WAIT);
  }

  mount(root) {
    this.bar = modelBar({
      id: "inside",
      models: this.models,
      kept: this.kept,
      chosen: () => this.choose(),
      buttons: [button("inside-example", "Example", () => this.example(), { class: "quiet" })],
    });
    this.bar.hint("What flows through a model at each step, and what flows back when it learns.");
    const limit = this.kept.get("limit", 32);
    this.limit = h(
      "select",
      { "aria-label": "Steps to inspect", "data-testid": "inside-limit", onchange: () => this.limited() },
      STEPS.map((n) => h("option", { value: String(n), selected: n === limit }, `last ${n} steps`)),
    );
    this.save = button("inside-report", "Save report", () => this.report(), { class: "quiet", disabled: true });
    this.place = h("div", {});
    const settings = h("p", { class: "row settings" }, this.limit, this.save);
    root.append(this.bar.root, this.place, settings, this.note.root, this.figures(), this.more.root, this.lines.root);
    this.choose();
  }

  figures() {
    this.verdict = h("p", { class: "in-words", "data-testid": "inside-verdict" });
    this.unfolded = unfolding({
      chosen: (layer) => {
        const { unfolding: one, gates: counted } = this.answer.parts;
        this.gateMap.draw(one.layers[layer], counted);
      },
    });
    this.gateMap = gates();
    this.flow = lags();
    this.matter = mattered({ asked: (at) => this.another(["mattered"], at) });
    this.connected = connections({ asked: () => this.another(["connectivity"], -1) });
    const parts = [this.unfolded, this.gateMap, this.flow, this.matter, this.connected].map(({ root }) => root);
    this.found = h("div", { class: "inside", hidden: true, "data-testid": "inside-found" }, this.verdict, parts);
    return this.found;
  }

  get model() {
    return this.bar.model;
  }

  choose() {
    const { model, note } = this;
    this.input?.stop?.();
    this.unfolded.clear();
    this.clear();
    const Input = inputFor(model);
    const changed = (isNew) => this.changed(isNew);
    const kept = memory(`inside.${model.task}`);
    const connect = () => null;
    this.input = null;
    this.input = new Input({ id: "inside", model, kept, note, changed, connect, pushed: () => {} });
    this.place.replaceChildren(this.input.root);
    this.more.draw(factsOf(model));
    if (this.input.isOwn) this.changed(true);
    else this.input.show(model.example.inputs[0]);
  }

  example() {
    const [example] = this.model.example.inputs;
    if (this.input.type) this.input.type(example);
    else this.input.show(example);
  }

  changed(isNew) {
    if (isNew) this.soon.now();
    else this.soon();
  }

  limited() {
    this.kept.set("limit", Number(this.limit.value));
    this.soon.now();
  }

  clear() {
    this.answer = null;
    this.found.hidden = true;
    this.note.clear();
  }

  async look() {
    if (!this.input) return;
    this.note.file = this.input.file?.name ?? "";
    try {
      const { value } = this.input;
      this.tell(value);
      this.save.disabled = value === null;
      if (value === null) return this.clear();
      this.note.say("Looking inside …");
      this.found.classList.add("stale");
      this.take(await this.inspect({ limit: Number(this.limit.value), parts: PARTS }));
    } catch (error) {
      this.clear();
      this.note.problem(error);
    } finally {
      this.found.classList.remove("stale");
    }
  }

  take(one) {
    // of a model that was chosen before
    if (one.model !== this.model.name) return;
    this.answer = one;
    const { parts, refused } = one;
    this.found.hidden = false;
    this.verdict.textContent = inPlainWords(parts.gradients?.verdicts ?? []);
    this.unfolded.root.hidden = this.gateMap.root.hidden = !parts.unfolding;
    this.flow.root.hidden = !parts.gradients;
    this.matter.root.hidden = !parts.mattered;
    this.connected.root.hidden = one.outputs.length < 2;
    if (parts.unfolding) this.unfolded.draw(one);
    if (parts.gradients) this.flow.draw(parts.gradients);
    if (parts.mattered) this.matter.draw(one);
    this.connected.clear();
    const left = parts.unfolding?.layers_left_out;
    const said = [one.note, left && `${left} layers below are not shown`, ...Object.values(refused)];
    this.note.say(
      said
        .filter(Boolean)
        .map((text) => `${capital(text)}.`)
        .join(" "),
    );
  }

  /** Another part of the same input. */
  async another(parts, at) {
    try {
      const one = await this.inspectMore({ limit: Number(this.limit.value), parts, at });
      if (one.model !== this.model.name) return;
      if (one.parts.mattered) this.matter.draw(one);
      if (one.parts.connectivity) this.connected.draw(one.parts.connectivity);
    } catch (error) {
      this.note.problem(error);
    }
  }

  /** The whole report as one file, to be opened anywhere. */
  async report() {
    const { api, model } = this;
    this.save.disabled = true;
    this.note.say("Drawing the report, which takes a few seconds …");
    try {
      const response = await api.request(api.path(model.name, "inspect"), {
        method: "POST",
        body: { input: this.input.value, limit: Number(this.limit.value) },
        headers: { Accept: "text/html" },
      });
      const address = URL.createObjectURL(await response.blob());
      h("a", { href: address, download: `${model.name}-inside.html` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      this.note.say("Report saved. It opens in any browser, offline.");
    } catch (error) {
      this.note.problem(error);
    }
    this.save.disabled = false;
  }

  tell(value) {
    const { api, model } = this;
    const shown = brief(value ?? model.example.inputs[0]);
    const asked = { limit: Number(this.limit.value), parts: ["gradients", "mattered"] };
    this.lines.draw({
      curl: curlJson(api, api.path(model.name, "inspect"), { input: shown, ...asked }),
      python: pythonLines(
        api,
        `found = client.inspect(${python(model.name)}, ${python(shown)}, limit=${asked.limit})`,
        'print(found["parts"]["gradients"]["verdicts"])',
      ),
    });
  }

  show() {}

  hide() {
    this.unfolded.stop();
    this.input.stop?.();
  }
}
