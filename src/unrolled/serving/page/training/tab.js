/** Training: a run as it goes; its curves, what it writes, how its gradients flow, and how long it will take. */

import { chart } from "../chart.js";
import { h, memory, number } from "../dom.js";
import { logarithmic } from "../inside/curves.js";
import { verdictOf } from "../inside/lags.js";
import { short } from "../inside/words.js";
import { notice, slider } from "../widgets.js";

export const view = "training";
export const title = "Training";

const STATES = { waiting: "Not begun", running: "Running", finished: "Finished", interrupted: "Interrupted" };
/** lines that are kept; of more every second one of the older half goes */
const KEPT = 4_000;
const SAMPLES = 300;
/** seconds between attempts to connect again, and without news after which a run is said to be silent */
const AGAIN = 3;
const SILENT = 120;
const READ = "Point at the curves, or use the arrow keys, to read them.";
/** what every line has, besides metrics */
const COMMON = new Set([
  "step",
  "split",
  "loss",
  "lr",
  "grad_norm",
  "clipped",
  "items_per_second",
  "epoch",
  "seconds",
  "skipped",
  "flow",
]);

export function mount(root, runs, api) {
  const kept = memory(view);
  const note = notice(view);
  let run = null;
  let lines = [];
  let samples = [];
  let follows = true;
  let controller = null;
  let ticking = 0;
  let due = 0;
  const which = h(
    "select",
    { "aria-label": "Run", "data-testid": "training-run", hidden: runs.length < 2, onchange: () => watch() },
    runs.map(({ name }) => h("option", { selected: name === kept.get("run") }, name)),
  );
  const name = h("strong", { class: "model" });
  const state = h("span", { class: "run-state", role: "status", "data-testid": "training-state" });
  const facts = h("span", { class: "facts soft" });
  const filled = h("span", {});
  const meter = h(
    "div",
    { class: "meter", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 },
    filled,
  );
  const left = h("p", { class: "soft", "data-testid": "training-left" });
  const figures = h("ul", { class: "figures", "aria-label": "Latest figures", "data-testid": "training-figures" });
  const isLog = h(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-pressed": String(kept.get("log", false)),
      "data-testid": "training-log",
      onclick: () => {
        kept.set("log", !kept.get("log", false));
        isLog.setAttribute("aria-pressed", String(kept.get("log", false)));
        drawCurves();
      },
    },
    "Logarithmic",
  );
  const loss = chart({ testid: "training-loss", label: "Loss by step", height: 260, idle: READ });
  const norm = chart({ testid: "training-norm", label: "Gradient norm by step", height: 170 });
  const rate = chart({ testid: "training-rate", label: "Learning rate by step", height: 150 });
  const other = chart({ testid: "training-metric", label: "A metric on development data, by step", height: 190 });
  const metric = h("select", {
    "aria-label": "Metric",
    "data-testid": "training-metric-name",
    onchange: () => drawCurves(),
  });
  const metricBox = h(
    "section",
    { class: "block", hidden: true },
    h("h2", {}, "On development data"),
    h("p", { class: "row" }, metric),
    other.root,
  );
  const flows = h("ul", { class: "verdicts", "data-testid": "training-flow" });
  const flowNote = h("p", { class: "soft" });
  const time = slider({
    id: "training-sample",
    label: "Sample",
    min: 0,
    max: 0,
    step: 1,
    value: 0,
    told: (n) => sampleName(n),
    oninput: (n) => showSample(n),
  });
  const newest = h("pre", { class: "code sample-text", tabindex: "0", "data-testid": "training-newest" });
  const chosen = h("pre", { class: "code sample-text", tabindex: "0", "data-testid": "training-chosen" });
  const newestTitle = h("h3", {}, "Newest");
  const chosenTitle = h("h3", {});
  const samplesBox = h(
    "section",
    { class: "block samples", hidden: true, "data-testid": "training-samples" },
    h("h2", {}, "What it writes as it learns"),
    time.root,
    h("div", { class: "pair" }, h("div", {}, chosenTitle, chosen), h("div", {}, newestTitle, newest)),
  );
  root.append(
    h(
      "header",
      { class: "bar" },
      h("p", { class: "hint" }, "A run as it goes; the page only reads what the training writes."),
      h("div", { class: "row" }, which, name, state, facts),
    ),
    meter,
    left,
    note.root,
    figures,
    h(
      "section",
      { class: "block" },
      h("div", { class: "row" }, h("h2", {}, "Loss"), h("span", { class: "push" }, isLog)),
      loss.root,
    ),
    metricBox,
    samplesBox,
    h("section", { class: "block" }, h("h2", {}, "Gradients over time"), flowNote, flows),
    h("section", { class: "block" }, h("h2", {}, "Gradient norm"), norm.root),
    h("section", { class: "block" }, h("h2", {}, "Learning rate"), rate.root),
  );

  /** Watch the run that is chosen, from its beginning, until the tab goes. */
  async function watch() {
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    const { name: asked } = runs[Math.max(0, which.selectedIndex)];
    kept.set("run", asked);
    while (!signal.aborted) {
      clear(asked);
      try {
        for await (const { event, data } of api.events(`v1/training/${encodeURIComponent(asked)}/events`, { signal })) {
          if (signal.aborted) return;
          take(event, data);
        }
        note.say(ended());
      } catch (error) {
        if (signal.aborted) return;
        note.say(run?.state === "finished" ? ended() : error.message || "The connection was lost.");
      }
      if (run?.state === "finished") return;
      await new Promise((resolve) => setTimeout(resolve, 1000 * AGAIN));
      if (signal.aborted) return;
      // what is seen stays until there is something newer
      if (!(await reachable(signal))) return note.say(`${ended()} What was seen of the run stays here.`);
    }
  }

  async function reachable(signal) {
    for (let attempt = 0; attempt < 3 && !signal.aborted; attempt += 1) {
      try {
        await api.json("v1/training", { signal });
        return true;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 1000 * AGAIN));
      }
    }
    return false;
  }

  const ended = () => "The server has ended, and the training with it if it was begun with --watch.";

  function clear(asked) {
    [lines, samples, run, follows] = [[], [], null, true];
    name.textContent = which.hidden ? asked : "";
    note.clear();
  }

  function take(event, data) {
    if (event === "run") run = data;
    else if (event === "metrics") lines = thinned(data.anew ? data.lines : [...lines, ...data.lines]);
    else if (event === "samples") samples = (data.anew ? data.samples : [...samples, ...data.samples]).slice(-SAMPLES);
    else if (event === "error") note.problem({ message: data.detail });
    else if (event === "done") note.say(data.interrupted ? "The run was interrupted; --resume goes on with it." : "");
    if (event === "metrics" && run) run.updated = Date.now() / 1000;
    // a burst of news is drawn once
    due ||= requestAnimationFrame(() => {
      due = 0;
      draw();
    });
  }

  function draw() {
    drawState();
    drawFigures();
    drawCurves();
    drawFlow();
    drawSamples();
  }

  const last = () => lines.at(-1);
  const trained = () => lines.filter(({ split }) => split === "train");
  const judged = () => lines.filter(({ split }) => split !== "train");

  function drawState() {
    if (!run) return;
    const silent = Date.now() / 1000 - (run.updated ?? 0);
    state.textContent = STATES[run.state];
    facts.textContent = [run.task, run.shape, network(run.network)].filter(Boolean).join(" · ");
    const share = run.state === "finished" ? 1 : progress();
    meter.hidden = share === null;
    filled.style.setProperty("width", `${100 * (share ?? 0)}%`);
    meter.setAttribute("aria-valuenow", Math.round(100 * (share ?? 0)));
    const said = [];
    if (last())
      said.push(
        `step ${last().step.toLocaleString("en")}`,
        `pass ${number(last().epoch ?? 0)}`,
        `${duration(last().seconds)} of training`,
      );
    if (run.state === "running" && share) said.push(`about ${duration((last().seconds * (1 - share)) / share)} left`);
    if (run.state === "running" && silent > SILENT) said.push(`nothing new for ${duration(silent)}`);
    if (run.state === "waiting") said.push("the run has not written anything yet");
    if (run.result.reason) said.push(run.result.reason);
    left.textContent = said.join(" · ");
  }

  /** How much of what it may take is used up, whichever comes first; null where nothing says when it ends. */
  function progress() {
    const { steps, epochs, minutes } = run.training;
    const now = last();
    if (!now) return steps || epochs || minutes ? 0 : null;
    const shares = [steps && now.step / steps, epochs && now.epoch / epochs, minutes && now.seconds / (60 * minutes)];
    const known = shares.filter((share) => typeof share === "number");
    return known.length ? Math.min(1, Math.max(...known)) : null;
  }

  function drawFigures() {
    const train = trained().at(-1);
    const dev = judged().at(-1);
    const rows = [
      train && ["Training loss", train.loss],
      dev && [`Loss on ${dev.split}`, dev.loss],
      ...(dev ? Object.entries(dev).filter(([key, value]) => !COMMON.has(key) && typeof value === "number") : []),
      run?.result?.best_step !== undefined && run.result.best_step !== null && ["Best at step", run.result.best_step],
      train?.items_per_second && ["Items a second", train.items_per_second],
      last()?.skipped ? ["Steps skipped", last().skipped] : null,
    ].filter(Boolean);
    figures.replaceChildren(
      ...rows.map(([term, value]) =>
        h("li", {}, h("span", { class: "soft" }, term.replaceAll("_", " ")), h("strong", {}, told(value))),
      ),
    );
  }

  function drawCurves() {
    const log = kept.get("log", false);
    const train = trained();
    const dev = judged();
    const curve = (rows, key) => rows.filter((row) => key in row).map((row) => [row.step, row[key] ?? null]);
    const x = { label: "step", min: 0, format: (step) => Math.round(step).toLocaleString("en") };
    const format = (value) => short(value);
    const losses = logarithmic(
      [
        { name: "training", colour: "var(--accent)", points: curve(train, "loss") },
        { name: "development", colour: "var(--label-1)", points: curve(dev, "loss"), dots: dev.length < 40 },
      ].filter(({ points }) => points.length),
      log,
    );
    const norms = logarithmic([{ name: "", points: curve(train, "grad_norm") }]);
    loss.draw({ x, y: { label: "loss", log: losses.log, format }, lines: losses.lines });
    norm.draw({ x, y: { label: "‖gradient‖ before clipping", log: norms.log, format }, lines: norms.lines });
    rate.draw({ x, y: { label: "learning rate", min: 0, format }, lines: [{ name: "", points: curve(train, "lr") }] });
    const names = [...new Set(dev.flatMap((row) => Object.keys(row)))].filter(
      (key) => !COMMON.has(key) && dev.some((row) => typeof row[key] === "number"),
    );
    metricBox.hidden = !names.length;
    if (!names.length) return;
    if (names.join() !== [...metric.options].map(({ value }) => value).join()) {
      const before = metric.value;
      metric.replaceChildren(...names.map((key) => h("option", { value: key }, key.replaceAll("_", " "))));
      metric.value = names.includes(before) ? before : names[0];
    }
    other.draw({
      x,
      y: { label: metric.value.replaceAll("_", " "), format },
      lines: [{ name: "", colour: "var(--label-1)", points: curve(dev, metric.value), dots: true }],
    });
  }

  function drawFlow() {
    const at = lines.findLast(({ flow }) => flow);
    flowNote.textContent = at
      ? `How the error flowed back through each layer at step ${at.step.toLocaleString("en")}.`
      : "How the error flows back through time is first looked at after 20 steps.";
    flows.replaceChildren(
      ...Object.entries(at?.flow ?? {}).map(([layer, { verdict, lag, norms }]) =>
        verdictOf({ layer, kind: verdict, evidence: evidence(norms, lag) }),
      ),
    );
  }

  function evidence(norms, lag) {
    const steps = norms.length - 1;
    const share = norms[0] ? (norms[lag ?? steps] ?? NaN) / norms[0] : NaN;
    if (steps < 1 || !Number.isFinite(share)) return "";
    return `the error ${lag ?? steps} steps back is ${short(share)} of that at the loss`;
  }

  function drawSamples() {
    samplesBox.hidden = !samples.length;
    if (!samples.length) return;
    const input = time.root.querySelector("input");
    input.max = samples.length - 1;
    input.disabled = samples.length < 2;
    newest.textContent = samples.at(-1).text;
    newestTitle.textContent = `Newest: ${sampleName(samples.length - 1)}`;
    if (follows) time.value = 0;
    showSample(time.value, false);
  }

  function showSample(n, byHand = true) {
    if (byHand) follows = false;
    const one = samples[Math.min(n, samples.length - 1)];
    if (!one) return;
    chosen.textContent = one.text;
    chosenTitle.textContent = `Then: ${sampleName(n)}`;
  }

  function sampleName(n) {
    const one = samples[n];
    return one ? `step ${one.step.toLocaleString("en")}${one.loss === null ? "" : `, loss ${short(one.loss)}`}` : "";
  }

  return {
    show() {
      watch();
      ticking = setInterval(drawState, 5_000);
    },
    hide() {
      controller?.abort();
      clearInterval(ticking);
    },
  };
}

/** At most so many lines: of the older half of too many, every second one of training. */
function thinned(lines) {
  if (lines.length <= KEPT) return lines;
  const half = lines.length / 2;
  return lines.filter((line, n) => n > half || n % 2 === 0 || line.split !== "train" || line.flow);
}

const told = (value) =>
  value === null ? "no number" : Number.isInteger(value) ? value.toLocaleString("en") : short(value);

function network({ cell, hidden_size: size, num_layers: layers }) {
  return [cell?.toUpperCase(), size && `${layers ?? 1} × ${size}`].filter(Boolean).join(" ");
}

function duration(seconds) {
  const whole = Math.round(seconds ?? 0);
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}
