/** Inside: what happens in a model for one input, step by step, forwards and backwards. */

import { curlJson, programs, python, pythonLines, short } from "../programs.js";
import { h, later, memory, onlyLast } from "../dom.js";
import { gates } from "../inside/gates.js";
import { inputOf } from "../inside/inputs.js";
import { lags } from "../inside/lags.js";
import { connections, mattered } from "../inside/mattered.js";
import { unfolding } from "../inside/unfolding.js";
import { modelBar, notice } from "../widgets.js";

export const view = "inside";
export const title = "Inside";

const WAIT = 500;
const STEPS = [16, 32, 64, 128, 256];
const PARTS = ["unfolding", "gates", "gradients", "mattered"];

export function mount(root, models, api) {
  const kept = memory(view);
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Any model, laid open: what goes through it at each step, and what comes back when it learns.",
    chosen: () => begin(),
    example: () => given.example(),
  });
  const limit = h(
    "select",
    {
      "aria-label": "Steps that are looked at",
      "data-testid": "inside-limit",
      onchange: () => {
        kept.set("limit", Number(limit.value));
        ask.now();
      },
    },
    STEPS.map((n) => h("option", { value: String(n), selected: n === kept.get("limit", 32) }, `last ${n} steps`)),
  );
  const save = h(
    "button",
    { type: "button", class: "quiet", disabled: true, "data-testid": "inside-report", onclick: report },
    "Save as a report",
  );
  const place = h("div", {});
  const unfolded = unfolding({
    chosen: (layer) => gateMap.draw(answer.parts.unfolding.layers[layer], answer.parts.gates),
  });
  const gateMap = gates();
  const flow = lags();
  const matter = mattered({ asked: (at) => more(["mattered"], at) });
  const connected = connections({ asked: () => input !== null && more(["connectivity"], -1) });
  const sections = [unfolded.root, gateMap.root, flow.root, matter.root, connected.root];
  const found = h("div", { class: "inside", hidden: true, "data-testid": "inside-found" }, sections);
  const inspect = onlyLast((signal, model, asked) => api.inspect(model.name, input, asked, signal));
  const inspectMore = onlyLast((signal, model, asked) => api.inspect(model.name, input, asked, signal));
  const ask = later(look, WAIT);
  let given = null;
  let input = null;
  let answer = null;

  root.append(bar.root, place, h("p", { class: "row settings" }, limit, save), note.root, found, lines.root);

  function begin() {
    input = null;
    answer = null;
    found.hidden = true;
    unfolded.clear();
    note.say("");
    given = inputOf(bar.model, kept, (one, isComplete = false) => {
      input = one;
      if (isComplete) ask.now();
      else ask();
    });
    place.replaceChildren(given.root);
    save.disabled = input === null;
    told();
  }

  async function look() {
    told();
    save.disabled = input === null;
    if (input === null) {
      found.hidden = true;
      return;
    }
    note.say("Looking inside …");
    found.classList.add("stale");
    try {
      take(await inspect(bar.model, { limit: Number(limit.value), parts: PARTS }));
    } catch (error) {
      note.problem(error);
      found.hidden = true;
    } finally {
      found.classList.remove("stale");
    }
  }

  function take(one) {
    // of a model that was chosen before
    if (one.model !== bar.model.name) return;
    answer = one;
    const { parts, refused } = one;
    found.hidden = false;
    unfolded.root.hidden = gateMap.root.hidden = !parts.unfolding;
    flow.root.hidden = !parts.gradients;
    matter.root.hidden = !parts.mattered;
    connected.root.hidden = one.outputs.length < 2;
    if (parts.unfolding) unfolded.draw(one);
    if (parts.gradients) flow.draw(parts.gradients);
    if (parts.mattered) matter.draw(one);
    connected.clear();
    const left = parts.unfolding?.layers_left_out;
    const said = [
      one.note,
      left && `${left} layers below are not shown`,
      ...Object.entries(refused).map(([part, why]) => `${part}: ${why}`),
    ];
    note.say(
      said
        .filter(Boolean)
        .map((text) => `${text[0].toUpperCase()}${text.slice(1)}.`)
        .join(" "),
    );
  }

  /** Another part of the same input. */
  async function more(parts, at) {
    try {
      const one = await inspectMore(bar.model, { limit: Number(limit.value), parts, at });
      if (one.model !== bar.model.name) return;
      if (one.parts.mattered) matter.draw(one);
      if (one.parts.connectivity) connected.draw(one.parts.connectivity);
    } catch (error) {
      note.problem(error);
    }
  }

  /** The whole report as one file, to be opened anywhere. */
  async function report() {
    save.disabled = true;
    note.say("Drawing the report; that takes a few seconds …");
    try {
      const response = await api.request(api.path(bar.model.name, "inspect"), {
        method: "POST",
        body: { input, limit: Number(limit.value) },
        headers: { Accept: "text/html" },
      });
      const address = URL.createObjectURL(await response.blob());
      h("a", { href: address, download: `${bar.model.name}-inside.html` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      note.say("The report is saved; it opens in any browser, with no network.");
    } catch (error) {
      note.problem(error);
    }
    save.disabled = input === null;
  }

  function told() {
    const sample = input ?? bar.model.example.inputs[0];
    const shown =
      typeof sample === "string"
        ? short(sample)
        : Object.fromEntries(Object.entries(sample).map(([key, value]) => [key, brief(value)]));
    const asked = { limit: Number(limit.value), parts: ["gradients", "mattered"] };
    lines.draw({
      curl: curlJson(api, api.path(bar.model.name, "inspect"), { input: shown, ...asked }),
      python: pythonLines(
        api,
        `found = client.inspect(${python(bar.model.name)}, ${python(shown)}, limit=${asked.limit})`,
        'print(found["parts"]["gradients"]["verdicts"])',
      ),
    });
  }

  begin();
  return { hide: () => unfolded.stop() };
}

/** Files and long tables are not spelled out. */
const brief = (value) => (typeof value === "string" ? short(value) : Array.isArray(value) ? value.slice(0, 3) : value);
