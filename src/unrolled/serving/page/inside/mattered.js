/** What mattered: a bar for each step of the input, by three methods; and which steps each output leans on. */

import { h } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { heatMap, largest } from "./heat.js";
import { quoted, short, visible } from "./words.js";

const MEANS = {
  "integrated gradients": "Each step's share of the score, relative to an empty input",
  occlusion: "How much the score drops when the step is removed",
  saliency: "How strongly the score reacts to a small change of the step",
};

/** @param {{asked: (step: number) => void}} hooks `asked`: another step of the output is asked about */
export function mattered({ asked }) {
  const method = h("select", { "aria-label": "Method", "data-testid": "inside-method", onchange: () => draw() });
  const output = h("select", {
    "aria-label": "Step of the output",
    "data-testid": "inside-output",
    onchange: () => asked(output.selectedIndex),
  });
  const meaning = h("p", { class: "soft" });
  const list = h("div", {
    class: "pulls",
    tabindex: "0",
    role: "group",
    "aria-label": "Steps of the input. Arrow keys read them.",
    "data-testid": "inside-mattered",
    onkeydown: keys,
    onblur: () => read(null),
    onpointerleave: () => read(null),
  });
  const reading = h("p", { class: "reading soft", role: "status", "data-testid": "inside-mattered-reading" });
  let shares = [];
  let at = null;

  const one = () => shares[Math.max(0, method.selectedIndex)];

  function keys(event) {
    const last = list.children.length - 1;
    const to = { ArrowRight: (at ?? -1) + 1, ArrowLeft: (at ?? last + 1) - 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    read(Math.max(0, Math.min(last, to)));
  }

  function read(n) {
    list.children[at]?.classList.remove("lit");
    at = n;
    list.children[n]?.classList.add("lit");
    reading.textContent = n === null ? idle() : `${quoted(one().steps[n])}: ${short(one().values[n])} ${one().unit}`;
  }

  function idle() {
    const found = one();
    if (!found) return "";
    const sum = found.error === null ? "" : ` Attributions sum to within ${short(Math.abs(found.error))}.`;
    const isValue = found.unit === "value";
    const score = isValue ? `the value is ${short(found.log_prob)}` : `${percent(Math.exp(found.log_prob), 1)} sure`;
    const where = found.target === found.output ? "" : ` (${visible(found.output)})`;
    return `About ${quoted(found.target)}${where}: ${score}.${sum}`;
  }

  function draw() {
    const found = one();
    const most = largest(found.values) || 1;
    meaning.textContent = `${MEANS[found.method]} (in ${found.unit}).`;
    list.replaceChildren(
      ...found.steps.map((step, n) => {
        const share = (found.values[n] ?? 0) / most;
        const style = { "--tall": `${Math.round(34 * Math.abs(share))}px` };
        return h(
          "span",
          { class: `pull ${share < 0 ? "against" : "for"}`, onpointerenter: () => read(n) },
          h("span", { class: "pull-bar", style }),
          h("span", { class: "pull-step" }, visible(step)),
        );
      }),
    );
    read(null);
  }

  return {
    root: h(
      "section",
      { class: "block" },
      h("h2", {}, "What mattered"),
      h("p", { class: "row" }, method, h("span", { class: "soft" }, "for"), output),
      meaning,
      list,
      reading,
      h(
        "p",
        { class: "scale soft" },
        h("span", { class: "swatch above" }),
        "for it ",
        h("span", { class: "swatch below" }),
        "against it",
      ),
    ),
    /** @param {object} answer of the server, with the part mattered */
    draw({ parts, outputs, targets, at: index, values }) {
      const before = method.selectedIndex;
      shares = parts.mattered;
      method.replaceChildren(...shares.map(({ method: name }) => h("option", {}, name)));
      method.selectedIndex = Math.max(0, before);
      const name = (n) =>
        values || outputs[n] === targets[n] ? visible(outputs[n]) : `${visible(outputs[n])} → ${visible(targets[n])}`;
      output.replaceChildren(...outputs.map((_, n) => h("option", {}, `${n + 1}: ${name(n)}`)));
      output.selectedIndex = index;
      output.disabled = outputs.length < 2;
      draw();
    },
  };
}

/** @param {{asked: () => void}} hooks `asked`: it was opened, and wants its part */
export function connections({ asked }) {
  let part = null;
  const map = heatMap({
    testid: "inside-connections",
    label: "Steps of the output in rows, of the input in columns",
    cell: 10,
    idle: "One row per output step, one column per input step.",
    read: (s, t) =>
      `${quoted(part.outputs[s])} depends on ${quoted(part.steps[t])}: ${short(part.strength[s][t])} nats per unit`,
  });
  const root = h(
    "details",
    { class: "weights-box", "data-testid": "inside-connections-box", ontoggle: () => root.open && !part && asked() },
    h("summary", {}, "Which input steps each output depends on"),
    map.root,
  );
  return {
    root,
    /** Another input: what was drawn is void. */
    clear() {
      part = null;
      map.draw({ rows: [] });
      if (root.open) asked();
    },
    /** @param {object} found the part connectivity */
    draw(found) {
      part = found;
      const rows = found.strength.map((row) => {
        const sum = row.reduce((total, v) => total + (v ?? 0), 0) || 1;
        return row.map((v) => (v ?? 0) / sum);
      });
      map.draw({ rows });
    },
  };
}
