/** Feeling: what the network makes of a text word by word, and which words moved it. */

import { chart } from "../chart.js";
import { colours, h, later, memory, onlyLast, percent, placesIn, signed } from "../dom.js";
import { editor } from "../editor.js";
import { predictText, programs } from "../programs.js";
import { bars, modelBar, notice, verdict } from "../widgets.js";

export const view = "feeling";
export const title = "Feeling";

const EXAMPLE =
  "The first hour is slow and a little dull, but what follows is so warm and so funny that I saw it twice.";
const WAIT = 200,
  MATTERED = 500;
/** curves that can still be told apart */
const CURVES = 6;

export function mount(root, models, api) {
  const kept = memory(view);
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "The line under each word has the colour of the label after it; the surer, the stronger.",
    chosen: () => connect(),
    example: () => {
      field.text = EXAMPLE;
    },
  });
  const field = editor({
    id: "feeling-text",
    label: "Your text",
    placeholder: "What did you think of it?",
    value: kept.get("text", ""),
    oninput: (text) => {
      kept.set("text", text);
      ask();
    },
    pointed: (mark) => curve.point(mark ? mark.data : null),
  });
  const label = verdict("feeling-label");
  const shares = bars("feeling-shares", "Probability of each label");
  const curve = chart({
    testid: "feeling-curve",
    label: "Probability of each label after each word",
    height: 200,
    idle: "Point at the curve or at a word to read it.",
    reads: (n) => light(n),
  });
  const moved = h("p", { class: "moved", id: "feeling-moved", "data-testid": "feeling-moved" });
  const movedBy = h("p", { class: "soft reading", role: "status", "data-testid": "feeling-moved-reading" });
  let stream = null,
    words = [],
    colour = colours([]),
    lit = null;
  const predict = onlyLast((signal, text) => api.predict(bar.model.name, [text], { words: true }, signal));
  const whole = later(async (text) => {
    const [one] = await predict(text).catch((error) => (note.problem(error), []));
    if (one && text === field.text) take(one.words ?? [], one, text);
  }, WAIT);
  const inspect = onlyLast((signal, text) => api.inspect(bar.model.name, text, { parts: ["mattered"] }, signal));
  const mattered = later(async (text) => {
    try {
      drawMoved(await inspect(text));
    } catch (error) {
      moved.replaceChildren();
      movedBy.textContent = `What moved it can't be told: ${error.message}`;
    }
  }, MATTERED);

  root.append(
    bar.root,
    field.root,
    note.root,
    h("section", { class: "judged" }, h("div", {}, h("h2", {}, "Label"), label.root), shares.root),
    h("section", { class: "block" }, h("h2", {}, "As it reads"), curve.root),
    h("section", { class: "block" }, h("h2", {}, "What moved it"), moved, movedBy),
    lines.root,
  );

  function connect() {
    stream?.close();
    stream = bar.model.streams ? api.stream(bar.model.name) : null;
    colour = colours([]);
    words = [];
    ask();
  }

  async function ask() {
    const text = field.text;
    lines.draw(predictText(api, bar.model, text || EXAMPLE, { words: true }));
    if (!text.trim()) {
      mattered.cancel();
      return clear();
    }
    mattered(text);
    if (!stream) return whole(text);
    try {
      const result = await stream.latest({ rewrite: text });
      if (!result) return;
      words = [...words.filter((word) => word.start < result.since), ...result.words];
      if (text === field.text) take(words, result.prediction, text);
    } catch (error) {
      note.problem(error);
    }
  }

  function clear() {
    field.marks = [];
    label.say(null);
    shares.draw([]);
    curve.draw({ x: { min: 0, max: 5, format: () => "" }, y: { min: 0, max: 1, format: percent }, lines: [] });
    moved.replaceChildren();
    movedBy.textContent = "";
  }

  function take(read, { label: best, probability, probabilities }, text) {
    note.clear();
    const place = placesIn(text);
    const ranked = Object.entries(probabilities).slice(0, CURVES);
    const order = Object.keys(probabilities).toSorted();
    order.forEach(colour);
    label.say(best, probability, colour(best));
    shares.draw(
      ranked
        .toSorted(([a], [b]) => order.indexOf(a) - order.indexOf(b))
        .map(([name, share]) => ({ label: name, share, colour: colour(name) })),
    );
    const chance = 1 / Math.max(2, order.length);
    field.marks = read.map((word, n) => {
      const [top, p] = Object.entries(word.probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
      const strength = 0.25 + 0.75 * Math.max(0, (p - chance) / (1 - chance));
      return {
        start: place(word.start),
        end: place(word.end),
        class: "track-word",
        hue: colour(top),
        strength,
        data: n,
      };
    });
    const names = ranked.map(([name]) => name);
    curve.draw({
      x: { min: 0, max: Math.max(read.length - 1, 1), whole: true, format: (n) => shorten(read[n]?.word ?? "") },
      y: { min: 0, max: 1, format: (p) => percent(p) },
      lines: (names.length === 2 ? [best] : names).map((name) => ({
        name,
        colour: colour(name),
        points: read.map((word, n) => [n, word.probabilities[name] ?? null]),
      })),
      read: (n) => {
        const said = names.map((name) => `P(${name}) ${percent(read[n].probabilities[name])}`);
        return `after “${read[n].word}”: ${said.join(", ")}`;
      },
    });
  }

  /** Show which word the curve is read at. */
  function light(n) {
    if (n === lit) return;
    lit = n;
    field.marks = field.marks.map((mark) => ({ ...mark, class: mark.data === n ? "track-word lit" : "track-word" }));
  }

  function drawMoved(answer) {
    const one = answer.parts.mattered?.find(({ method }) => method === "integrated gradients");
    if (!one) throw new Error(answer.refused.mattered);
    const top = Math.max(...one.values.map(Math.abs), 1e-9);
    const others = [...colour.labels()].filter((name) => name !== one.target);
    const hue = (value) =>
      value > 0 ? colour(one.target) : others.length === 1 ? colour(others[0]) : "var(--label-7)";
    moved.replaceChildren(
      ...one.steps.flatMap((step, n) => {
        const value = one.values[n],
          told = `${signed(value)} nats`;
        const word = h(
          "span",
          {
            class: value < -top / 8 ? "push-word against" : "push-word",
            title: told,
            style: { "--strength": Math.abs(value) / top, "--hue": hue(value) },
            onpointerenter: () => (movedBy.textContent = `“${step}”: ${told} for ${one.target}`),
          },
          step,
        );
        return [word, " "];
      }),
    );
    const pairs = one.steps.map((step, n) => [step, one.values[n]]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const strongest = pairs.slice(0, 3).map(([step, value]) => `${step} ${signed(value)}`);
    movedBy.textContent = `For ${one.target}, most: ${strongest.join(", ")} nats`;
  }

  return { show: () => stream === null && connect() };
}

const shorten = (word) => (word.length > 9 ? `${word.slice(0, 8)}…` : word);
