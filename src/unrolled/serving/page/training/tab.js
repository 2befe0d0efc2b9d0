/** Training: a run as it goes; its curves, what it writes, how its gradients flow, and how long it will take. */

import { h, memory } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { Notice } from "../lib/widgets.js";
import { verdictOf } from "../inside/verdicts.js";
import { short } from "../inside/words.js";
import { Curves } from "./curves.js";
import { COMMON, duration, thinned } from "./run.js";
import { Samples } from "./samples.js";

const STATES = { waiting: "Not started", running: "Running", finished: "Finished", interrupted: "Interrupted" };
/** seconds between attempts to connect again, and without news after which a run is said to be silent */
const AGAIN = 3;
const SILENT = 120;
/** seconds between two drawings of what time alone changes */
const TICK = 5;
const ENDED = "The server has stopped, and with it any training that was started with this page.";

const pause = () => new Promise((resolve) => setTimeout(resolve, 1000 * AGAIN));

export class Training {
  constructor({ runs, api }) {
    Object.assign(this, { runs, api, run: null, lines: [], controller: null, ticking: 0, due: 0 });
    this.kept = memory("training");
    this.note = new Notice("training");
    this.curves = new Curves(this.kept);
    this.samples = new Samples();
  }

  mount(root) {
    const option = ({ name }) => h("option", { selected: name === this.kept.get("run") }, name);
    const looks = { "aria-label": "Run", "data-testid": "training-run", hidden: this.runs.length < 2 };
    this.which = h("select", { ...looks, onchange: () => this.watch() }, this.runs.map(option));
    this.name = h("strong", { class: "model" });
    this.state = h("span", { class: "run-state", role: "status", "data-testid": "training-state" });
    this.facts = h("span", { class: "soft" });
    this.filled = h("span", {});
    const bounds = { role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 };
    this.meter = h("div", { class: "meter", ...bounds }, this.filled);
    this.left = h("p", { class: "soft", "data-testid": "training-left" });
    this.figures = h("ul", { class: "figures", "aria-label": "Latest figures", "data-testid": "training-figures" });
    this.flows = h("ul", { class: "verdicts", "data-testid": "training-flow" });
    this.flowNote = h("p", { class: "soft" });
    const hint = h("p", { class: "hint" }, "A training run, live. This page only reads what the run writes.");
    const top = h("div", { class: "row" }, this.which, this.name, this.state, this.facts);
    const flow = h("section", { class: "block" }, h("h2", {}, "Gradients over time"), this.flowNote, this.flows);
    root.append(h("header", { class: "bar" }, hint, top), this.meter, this.left, this.note.root, this.figures);
    root.append(...this.curves.first, this.samples.root, flow, ...this.curves.others);
  }

  /** Watch the run that is chosen, from its beginning, until the tab goes. */
  async watch() {
    this.controller?.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    const { name } = this.runs[Math.max(0, this.which.selectedIndex)];
    this.kept.set("run", name);
    while (!signal.aborted) {
      this.clear(name);
      await this.follow(name, signal);
      if (signal.aborted || this.run?.state === "finished") return;
      await pause();
      // what is seen stays until there is something newer
      if (!signal.aborted && !(await this.isReachable(signal)))
        return this.note.say(`${ENDED} What is shown here stays.`);
    }
  }

  async follow(name, signal) {
    try {
      for await (const { event, data } of this.api.events(`v1/training/${encodeURIComponent(name)}/events`, {
        signal,
      })) {
        if (signal.aborted) return;
        this.take(event, data);
      }
      this.note.say(ENDED);
    } catch (error) {
      if (signal.aborted) return;
      this.note.say(this.run?.state === "finished" ? ENDED : error.message || "The connection was lost.");
    }
  }

  async isReachable(signal) {
    for (let attempt = 0; attempt < 3 && !signal.aborted; attempt += 1) {
      try {
        await this.api.json("v1/training", { signal });
        return true;
      } catch {
        await pause();
      }
    }
    return false;
  }

  clear(name) {
    Object.assign(this, { lines: [], run: null });
    this.samples.clear();
    this.name.textContent = this.which.hidden ? name : "";
    this.note.clear();
  }

  take(event, data) {
    if (event === "run") this.run = data;
    else if (event === "metrics") this.lines = thinned(data.anew ? data.lines : [...this.lines, ...data.lines]);
    else if (event === "samples") this.samples.add(data);
    else if (event === "error") this.note.problem({ message: data.detail });
    else if (event === "done") this.note.say(data.interrupted ? "The run was interrupted and can be resumed." : "");
    if (event === "metrics" && this.run) this.run.updated = Date.now() / 1000;
    // a burst of news is drawn once
    this.due ||= requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  draw() {
    this.drawState();
    this.drawFigures();
    this.curves.draw(this.lines);
    this.drawFlow();
    this.samples.draw();
  }

  drawState() {
    const { run, lines } = this;
    if (!run) return;
    const last = lines.at(-1);
    this.state.textContent = STATES[run.state];
    this.facts.textContent = [run.task, network(run.network)].filter(Boolean).join(" · ");
    const share = run.state === "finished" ? 1 : this.progress(last);
    this.meter.hidden = share === null;
    this.filled.style.setProperty("width", `${100 * (share ?? 0)}%`);
    this.meter.setAttribute("aria-valuenow", Math.round(100 * (share ?? 0)));
    const silent = Date.now() / 1000 - (run.updated ?? 0);
    const isRunning = run.state === "running";
    const said = [
      last && `step ${last.step.toLocaleString("en")}`,
      last && `pass ${number(last.epoch ?? 0)}`,
      last && `${duration(last.seconds)} of training`,
      isRunning && share && `about ${duration((last.seconds * (1 - share)) / share)} left`,
      isRunning && silent > SILENT && `nothing new for ${duration(silent)}`,
      run.state === "waiting" && "the run has not written anything yet",
      run.result.reason,
    ];
    this.left.textContent = said.filter(Boolean).join(" · ");
  }

  /** How much of what it may take is used up, whichever comes first; null where nothing says when it ends. */
  progress(last) {
    const { steps, epochs, minutes } = this.run.training;
    if (!last) return steps || epochs || minutes ? 0 : null;
    const shares = [
      steps && last.step / steps,
      epochs && last.epoch / epochs,
      minutes && last.seconds / (60 * minutes),
    ];
    const known = shares.filter((share) => typeof share === "number");
    return known.length ? Math.min(1, Math.max(...known)) : null;
  }

  drawFigures() {
    const train = this.lines.findLast(({ split }) => split === "train");
    const dev = this.lines.findLast(({ split }) => split !== "train");
    const skipped = this.lines.at(-1)?.skipped;
    const metrics = Object.entries(dev ?? {}).filter(([key, value]) => !COMMON.has(key) && typeof value === "number");
    const best = this.run?.result?.best_step ?? null;
    const rows = [
      train && ["Training loss", train.loss],
      dev && [`Loss on ${dev.split}`, dev.loss],
      ...metrics,
      best !== null && ["Best at step", best],
      train?.items_per_second && ["Items a second", train.items_per_second],
      skipped && ["Steps skipped", skipped],
    ].filter(Boolean);
    const row = ([term, value]) =>
      h("li", {}, h("span", { class: "soft" }, term.replaceAll("_", " ")), h("strong", {}, told(value)));
    this.figures.replaceChildren(...rows.map(row));
  }

  drawFlow() {
    const at = this.lines.findLast(({ flow }) => flow);
    this.flowNote.textContent = at
      ? `How the error flowed back through each layer at step ${at.step.toLocaleString("en")}.`
      : "Gradient flow is first measured after 20 steps.";
    this.flows.replaceChildren(
      ...Object.entries(at?.flow ?? {}).map(([layer, { verdict, lag, norms }]) =>
        verdictOf({ layer, kind: verdict, evidence: evidence(norms, lag) }),
      ),
    );
  }

  show() {
    this.watch();
    this.ticking = setInterval(() => this.drawState(), 1000 * TICK);
  }

  hide() {
    this.controller?.abort();
    clearInterval(this.ticking);
  }
}

function evidence(norms, lag) {
  const steps = norms.length - 1;
  const share = norms[0] ? (norms[lag ?? steps] ?? NaN) / norms[0] : NaN;
  if (steps < 1 || !Number.isFinite(share)) return "";
  return `the error ${lag ?? steps} steps back is ${short(share)} of that at the loss`;
}

const told = (value) =>
  value === null ? "no number" : Number.isInteger(value) ? value.toLocaleString("en") : short(value);

function network({ cell, hidden_size: size, num_layers: layers }) {
  return [cell?.toUpperCase(), size && `${layers ?? 1} × ${size}`].filter(Boolean).join(" ");
}
