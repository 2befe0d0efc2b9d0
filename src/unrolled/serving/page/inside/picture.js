/** The pictures of the unfolded network and of the same network as a loop; what they show is a `Scene`. */

import { svg } from "../lib/dom.js";
import { largest, strip, stripHeight } from "./heat.js";
import { clipped, short } from "./words.js";

/**
 * @typedef {object} Scene
 * @property {{one: object, n: number}[]} rows layers of the unfolding and their numbers, the topmost first
 * @property {number} layer the number of the chosen one
 * @property {number} count of steps
 * @property {number} now the step that is looked at
 * @property {boolean} isBack whether the error is shown on its way back
 * @property {boolean} isTop whether the first row is the network's last layer
 * @property {(t: number) => string} input what goes in at a step
 * @property {(t: number) => [string, number] | null} output what comes out at a step
 * @property {(share: number) => string} told how the number of an output is written
 * @property {(t: number) => void} go look at another step
 */

const COLUMN = 104;
const BOX = 68;
const CELL = 5;
/** between the rows of the picture */
const GAP = 34;

/** Whether a layer reads from the end. */
export const runsBack = (one) => one.name.endsWith("_reverse");

const states = (one, isBack) => (isBack ? one.errors.h : one.values.h);

/** @param {Scene} scene */
export function columnsOf(scene, width) {
  const { rows, count, now, isBack } = scene;
  const shown = Math.min(Math.max(3, Math.floor((width - 26) / COLUMN)), count);
  const first = Math.max(0, Math.min(now - Math.floor(shown / 2), count - shown));
  const left = (width - shown * COLUMN) / 2;
  const high = rows.map(({ one }) => stripHeight(one.values.h[0].length, CELL) + 24);
  const tops = high.map((_, n) => 40 + GAP + high.slice(0, n).reduce((sum, tall) => sum + tall + GAP, 0));
  const bottom = tops.at(-1) + high.at(-1) + GAP;
  const scales = rows.map(({ one }) => largest(states(one, isBack).flat()));
  const places = { tops, high, bottom, scales };
  const more = (x, mark) =>
    svg("text", { class: "more", x, y: tops[0] + high[0] / 2 + 5, "text-anchor": "middle" }, mark);
  const parts = Array.from({ length: shown }, (_, n) => column(scene, first + n, left + (n + 0.5) * COLUMN, places));
  if (first > 0) parts.push(more(left - 4, "‹"));
  if (first + shown < count) parts.push(more(left + shown * COLUMN + 4, "›"));
  return { parts, height: bottom + 24 };
}

function column(scene, t, x, { tops, high, bottom, scales }) {
  const { rows, layer, count, now, isBack, isTop } = scene;
  const is = t === now;
  const output = scene.output(t);
  const middle = { x, "text-anchor": "middle" };
  const parts = [
    is && svg("rect", { class: "now", x: x - COLUMN / 2 + 2, y: 1, width: COLUMN - 4, height: bottom + 21, rx: 8 }),
  ];
  if (output !== null)
    parts.push(
      svg("text", { class: "node", y: 17, ...middle }, clipped(output[0])),
      svg("text", { class: "size", y: 33, ...middle }, scene.told(output[1])),
      ...arrow(isBack, x, tops[0] - 2, x, 38, is && isTop && "V"),
    );
  rows.forEach(({ one, n }, r) => {
    const reached = isBack !== runsBack(one) ? t >= now : t <= now;
    const size = isBack ? one.error_norms[t] : one.norms[t];
    const [y, tall] = [tops[r], high[r]];
    const frame = { x: x - BOX / 2 - 3, y, width: BOX + 6, height: tall, rx: 7 };
    const looks = { x: x - BOX / 2, y: y + 5, width: BOX, cell: CELL, most: scales[r], faint: !reached };
    parts.push(
      svg("rect", { class: n === layer ? "box chosen" : "box", ...frame }),
      strip(states(one, isBack)[t], looks),
      svg("text", { class: "size", y: y + tall - 6, ...middle }, reached ? short(size) : "·"),
    );
    if (t < count - 1) {
      const ends = [x + BOX / 2 + 4, x + COLUMN - BOX / 2 - 4];
      const [from, to] = runsBack(one) ? ends.reverse() : ends;
      parts.push(...arrow(isBack, from, y + tall / 2, to, y + tall / 2, is && "W"));
    }
    const lower = rows[r + 1];
    // both directions of a layer read the same
    if (lower && `${lower.one.name}_reverse` === one.name) return;
    parts.push(...arrow(isBack, x, lower ? tops[r + 1] - 2 : bottom - 2, x, y + tall + 2, is && "U"));
  });
  parts.push(svg("text", { class: "node", y: bottom + 14, ...middle }, clipped(scene.input(t))));
  return svg("g", { class: is ? "step is-now" : "step", onclick: () => scene.go(t) }, parts);
}

/** Forwards from one place to another; backwards the error goes the other way. */
function arrow(isBack, x1, y1, x2, y2, letter) {
  const [a, b, c, d] = isBack ? [x2, y2, x1, y1] : [x1, y1, x2, y2];
  const length = Math.hypot(c - a, d - b) || 1;
  const [ux, uy] = [(c - a) / length, (d - b) / length];
  const head = [
    [c, d],
    [c - 6 * ux - 3.5 * uy, d - 6 * uy + 3.5 * ux],
    [c - 6 * ux + 3.5 * uy, d - 6 * uy - 3.5 * ux],
  ];
  const flat = Math.abs(ux) > 0.5;
  const beside = flat ? { x: (a + c) / 2, y: b - 6, "text-anchor": "middle" } : { x: a + 6, y: (b + d) / 2 + 4 };
  const kind = isBack ? "wire back" : "wire";
  return [
    svg("line", { class: kind, x1: a, y1: b, x2: c - 5 * ux, y2: d - 5 * uy }),
    svg("polygon", { class: kind, points: head.map((point) => point.join(",")).join(" ") }),
    letter && svg("text", { class: "letter", ...beside }, isBack ? `d${letter}` : letter),
  ].filter(Boolean);
}

/**
 * The network as it is written: one layer whose state goes back into it.
 * @param {Scene} scene
 * @param {object} one the chosen layer
 */
export function loopOf({ now, isBack, input, output }, one) {
  const values = states(one, isBack);
  const tall = Math.max(30, stripHeight(values[0].length, CELL) + 12);
  const [top, bottom, centre] = [78, 78 + tall, 78 + tall / 2];
  const kind = isBack ? "wire back" : "wire";
  const mark = isBack ? "d" : "";
  const node = (y, text) => svg("text", { class: "node", x: 58, y, "text-anchor": "middle" }, text);
  const letter = (x, y, text) => svg("text", { class: "letter", x, y }, `${mark}${text}`);
  const way = `M 96 ${centre + 4} C 150 ${bottom + 6}, 150 ${top - 6}, 103 ${centre - 4}`;
  const points = isBack
    ? [
        [96, centre + 4],
        [105, centre + 3],
        [101, centre + 11],
      ]
    : [
        [96, centre - 5],
        [105, centre - 9],
        [103, centre],
      ];
  const parts = [
    node(18, output(now) === null ? "y" : clipped(output(now)[0])),
    ...arrow(isBack, 58, top - 2, 58, 26, null),
    letter(66, 56, "V"),
    svg("rect", { class: "box chosen", x: 20, y: top, width: 76, height: tall, rx: 8 }),
    strip(values[now], { x: 24, y: top + 6, width: 68, cell: CELL, most: largest(values.flat()) }),
    svg("path", { class: kind, d: way, fill: "none" }),
    svg("polygon", { class: kind, points: points.map((point) => point.join(",")).join(" ") }),
    letter(142, centre + 5, "W"),
    ...arrow(isBack, 58, bottom + 54, 58, bottom + 2, null),
    letter(66, bottom + 32, "U"),
    node(bottom + 70, clipped(input(now))),
  ];
  return { parts, height: bottom + 78 };
}
