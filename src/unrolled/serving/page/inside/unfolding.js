/**
 * The unfolded network: a column for each step, with what goes in, what the layers hold and what comes out; walked
 * forwards in time, and backwards as the error goes (BPTT). Beside it the same network as a loop.
 */

import { h, svg } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { bars } from "../lib/widgets.js";
import { largest, stripPicture } from "./heat.js";
import { columnsOf, loopOf, runsBack } from "./picture.js";
import { LETTERS, cellName, quoted, short, visible } from "./words.js";

/** layers above each other that are drawn at once */
const ROWS = 4;
const PLAY = 450;

/** @param {{chosen: (layer: number) => void}} hooks `chosen`: another layer is looked at */
export function unfolding({ chosen }) {
  const picture = svg("svg", { class: "unfolded", "aria-hidden": "true" });
  const frame = h(
    "div",
    {
      class: "unfold-frame",
      tabindex: "0",
      role: "group",
      "aria-label":
        "The unfolded network. Left and right go through time, up and down through layers, b and f turn around.",
      "data-testid": "inside-unfolded",
    },
    picture,
  );
  const loop = svg("svg", { class: "loop", role: "img" });
  const said = h("p", { class: "said", role: "status", "data-testid": "inside-said" });
  const at = h("input", {
    type: "range",
    min: 0,
    max: 0,
    value: 0,
    "aria-label": "Step",
    "data-testid": "inside-step",
    oninput: () => go(Number(at.value)),
  });
  const button = (id, text, label, onclick) =>
    h("button", { type: "button", "data-testid": `inside-${id}`, "aria-label": label, onclick }, text);
  const forwards = button("forwards", "Forwards", null, () => turn(false));
  const backwards = button("backwards", "Backwards", null, () => turn(true));
  const play = button("play", "Play", null, () => (timer ? stop() : start()));
  const which = h("select", {
    "aria-label": "Layer",
    "data-testid": "inside-layer",
    onchange: () => choose(which.selectedIndex),
  });
  const detail = h("div", { class: "gate-rows", "data-testid": "inside-detail" });
  const detailTitle = h("h3", {});
  const sideTitle = h("h3", {});
  const side = bars("inside-side", "At this step");
  const weights = h("table", { class: "weights", "data-testid": "inside-weights" });
  let data = null;
  let layer = 0;
  let now = 0;
  let isBack = false;
  let timer = null;

  frame.addEventListener("keydown", (event) => {
    const act = {
      ArrowRight: () => go(now + 1),
      ArrowLeft: () => go(now - 1),
      ArrowUp: () => choose(layer + 1),
      ArrowDown: () => choose(layer - 1),
      Home: () => go(0),
      End: () => go(Infinity),
      b: () => turn(true),
      f: () => turn(false),
    }[event.key];
    if (!act || !data || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    stop();
    act();
  });
  new ResizeObserver(() => data && paint()).observe(frame);

  const current = () => data.unfolding.layers[layer];
  const count = () => current().steps.length;

  function go(step) {
    now = Math.max(0, Math.min(count() - 1, step));
    draw();
  }

  function turn(back) {
    if (back !== isBack) stop();
    isBack = back;
    draw();
  }

  function choose(index) {
    const most = data.unfolding.layers.length - 1;
    layer = Math.max(0, Math.min(most, index));
    now = Math.min(now, count() - 1);
    draw();
    drawWeights();
    chosen(layer);
  }

  function start() {
    const first = isBack !== runsBack(current()) ? count() - 1 : 0;
    const step = first ? -1 : 1;
    if (now === count() - 1 - first) go(first);
    play.textContent = "Stop";
    timer = setInterval(() => {
      if (now + step < 0 || now + step >= count()) stop();
      else go(now + step);
    }, PLAY);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }

  function draw() {
    const one = current();
    forwards.setAttribute("aria-pressed", String(!isBack));
    backwards.setAttribute("aria-pressed", String(isBack));
    at.max = count() - 1;
    at.value = now;
    at.setAttribute("aria-valuetext", `${now + 1} of ${count()}: ${visible(one.steps[now])}`);
    which.selectedIndex = layer;
    said.textContent = sentence(one);
    paint();
    drawDetail(one);
    drawSide(one);
  }

  /** The step of the output that is said at a step of the layer, or null. */
  const outputAt = (one, t) => (one.over === "output" || (one.over === "input" && data.synced) ? t : null);

  const inputAt = (one, t) => (one.over === "own" ? `${t + 1}` : one.steps[t]);

  function sentence(one) {
    const place = `Step ${now + 1} of ${count()}, ${quoted(one.steps[now])}`;
    if (isBack) return `${place}: the error that arrives at ${one.name} is ‖∂L/∂h‖ = ${short(one.error_norms[now])}.`;
    const output = outputAt(one, now);
    const [name, share] = output === null ? [] : data.unfolding.likeliest[output][0];
    const answer = output === null ? "" : `; the output says ${quoted(name)}, ${told(share)}`;
    return `${place}: ${one.name} holds ‖h‖ = ${short(one.norms[now])}${answer}.`;
  }

  const told = (share) => (data.values ? short(share) : percent(share ?? 0));

  /** The layers that are drawn: those whose steps are the same, around the chosen one; the topmost first. */
  function drawn() {
    const alike = data.unfolding.layers
      .map((one, n) => ({ one, n }))
      .filter(({ one }) => one.over === current().over && one.steps.length === count());
    const place = alike.findIndex(({ n }) => n === layer);
    const first = Math.max(0, Math.min(place - 1, alike.length - ROWS));
    return alike.slice(first, first + ROWS).reverse();
  }

  /** What the picture shows. */
  function scene() {
    const rows = drawn();
    const isTop = rows[0].n === data.unfolding.layers.length - 1;
    return {
      rows,
      layer,
      count: count(),
      now,
      isBack,
      isTop,
      told,
      go,
      input: (t) => inputAt(current(), t),
      output(t) {
        const last = isTop && t === count() - 1 ? outputs() - 1 : null;
        const step = outputAt(rows[0].one, t) ?? last;
        return step === null ? null : data.unfolding.likeliest[step][0];
      },
    };
  }

  function paint() {
    const shown = scene();
    const folded = loopOf(shown, current());
    loop.setAttribute("viewBox", `0 0 168 ${folded.height}`);
    loop.replaceChildren(...folded.parts);
    loop.setAttribute("aria-label", `As a loop: U from the input, W back into ${current().name}, V to the output.`);
    const width = frame.clientWidth;
    if (!width) return;
    const { parts, height } = columnsOf(shown, width);
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("height", height);
    picture.replaceChildren(...parts);
  }

  const outputs = () => data.unfolding.likeliest.length;

  function drawDetail(one) {
    const [values, title] = isBack
      ? [one.errors, `Error at step ${now + 1}, one cell per unit`]
      : [one.values, `Gates and states at step ${now + 1}, one cell per unit`];
    detailTitle.textContent = title;
    detail.replaceChildren(
      ...Object.entries(values).map(([name, rows]) => {
        const positive = !isBack && one.activations[name] === "sigmoid";
        const mean = isBack
          ? `‖·‖ ${short(Math.hypot(...rows[now].map((v) => v ?? 0)))}`
          : `mean ${short(one.means[name][now])}`;
        const most = largest(rows.flat());
        return h(
          "div",
          { class: "gate-row" },
          h("span", { class: "gate-name" }, isBack ? `∂L/∂${name}` : name),
          stripPicture(rows[now], { positive, most }),
          h("span", { class: "soft" }, mean),
        );
      }),
    );
  }

  function drawSide(one) {
    if (isBack) {
      sideTitle.textContent = "What this step adds to each gradient";
      const most = largest(Object.values(one.shares).map((values) => values[now]));
      side.draw(
        Object.entries(one.shares).map(([name, values]) => ({
          label: `d${LETTERS[name] ?? ""} ${name}`.replace("d ", "d"),
          share: (values[now] ?? 0) / (most || 1),
          told: `${short(values[now])} of ${short(one.gradients[name])}`,
          colour: "var(--label-1)",
        })),
      );
      return;
    }
    const output = outputAt(one, now) ?? outputs() - 1;
    const row = data.unfolding.likeliest[output];
    const most = data.values ? largest(row.map(([, value]) => value)) || 1 : 1;
    const when = outputAt(one, now) === null ? ` at the end, ${quoted(data.outputs[output])}` : "";
    sideTitle.textContent = data.values ? `The output${when} (standardised)` : `Most likely${when}`;
    side.draw(
      row.map(([name, value]) => ({
        label: visible(name),
        share: Math.abs(value ?? 0) / most,
        told: data.values ? short(value) : percent(value ?? 0, 1),
        colour: "var(--label-2)",
      })),
    );
  }

  function drawWeights() {
    const one = current();
    const own = Object.entries(one.weights).map(([name, shape]) => [LETTERS[name] ?? "", `${one.name}.${name}`, shape]);
    const rest = Object.entries(data.unfolding.parameters).map(([name, shape]) => [LETTERS[name] ?? "", name, shape]);
    const row = (cells, tag) =>
      h(
        "tr",
        {},
        cells.map((cell) => h(tag, {}, cell)),
      );
    weights.replaceChildren(
      h("thead", {}, row(["Letter", "Parameter", "Shape"], "th")),
      h(
        "tbody",
        {},
        [...own, ...rest].map(([letter, name, shape]) => row([letter, name, shape.join(" × ")], "td")),
      ),
    );
  }

  const root = h(
    "section",
    { class: "block", "data-testid": "inside-unfolding" },
    h("h2", {}, "Unfolded over time"),
    h(
      "p",
      { class: "soft" },
      "One column per step: the input at the bottom, the state of each layer in the middle, the output at the top.",
    ),
    h(
      "p",
      { class: "row controls" },
      forwards,
      backwards,
      button("back", "◀", "Back one step", () => (stop(), go(now - 1))),
      play,
      button("on", "▶", "Forward one step", () => (stop(), go(now + 1))),
      at,
      which,
    ),
    h(
      "div",
      { class: "unfold" },
      h("figure", { class: "loop-figure" }, loop, h("figcaption", { class: "soft" }, "as a loop")),
      h("figure", { class: "unfold-figure" }, frame),
    ),
    said,
    h("div", { class: "pair details" }, h("div", {}, detailTitle, detail), h("div", {}, sideTitle, side.root)),
    h("details", { class: "weights-box" }, h("summary", {}, "Weights, shared by all steps"), weights),
  );

  return {
    root,
    stop,
    /** Another model: what is drawn next begins at its first step. */
    clear() {
      stop();
      data = null;
    },
    /** @param {object} answer of the server, with the part unfolding */
    draw(answer) {
      stop();
      const { layers } = answer.parts.unfolding;
      const before = data && current().name;
      data = { ...answer, unfolding: answer.parts.unfolding };
      which.replaceChildren(...layers.map(({ name, cell }) => h("option", {}, `${name} · ${cellName(cell)}`)));
      const same = layers.findIndex(({ name }) => name === before);
      layer = same >= 0 ? same : telling(layers);
      now = before === null ? 0 : Math.min(now, count() - 1);
      draw();
      drawWeights();
      chosen(layer);
    },
    /** Look at another layer. */
    choose,
  };
}

/** The layer that tells most at first sight: the last one of those with most steps, read from the beginning. */
function telling(layers) {
  const longest = Math.max(...layers.map(({ steps }) => steps.length));
  const whole = layers.filter(({ steps }) => steps.length === longest);
  return layers.indexOf(whole.findLast((one) => !runsBack(one)) ?? whole.at(-1));
}
