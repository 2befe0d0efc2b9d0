/** Numbers as colours: nothing for 0, blue below it, orange above; green from shut to open for gates. */

import { h, onTheme, svg } from "../lib/dom.js";

const NAMES = { below: "--label-0", above: "--label-1", open: "--label-2" };

/** Which colour a value has, and how strong it is, from 0 to 1. */
export function shade(value, { positive = false, most = 1 }) {
  if (value === null) return { name: "below", strength: 0 };
  const strength = Math.min(1, Math.abs(value) / (positive ? 1 : most || 1));
  return { name: positive ? "open" : value < 0 ? "below" : "above", strength };
}

/** The largest size among numbers. */
export const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v ?? 0)), 0);

const ACROSS = 16;

/** How high a strip of so many units is, for cells of a size. */
export const stripHeight = (count, cell) => Math.ceil(count / Math.min(ACROSS, count)) * cell;

/** One step's units as cells, 16 in a row; at x and y of a picture. */
export function strip(values, { x = 0, y = 0, width = 64, cell = 5, positive = false, most = largest(values), faint }) {
  const across = Math.min(ACROSS, values.length);
  const wide = width / across;
  const cells = values.map((value, n) => {
    const { name, strength } = shade(value, { positive, most });
    return svg("rect", {
      x: (x + wide * (n % across)).toFixed(2),
      y: y + cell * Math.floor(n / across),
      width: (wide - 0.4).toFixed(2),
      height: cell - 0.4,
      style: { fill: `var(${NAMES[name]})`, "fill-opacity": strength.toFixed(3) },
    });
  });
  return svg("g", { class: faint ? "strip-cells faint" : "strip-cells" }, cells);
}

/** A strip in a picture of its own. */
export function stripPicture(values, options) {
  const width = 240;
  const cell = 7;
  return svg(
    "svg",
    {
      class: "gate-strip",
      viewBox: `0 0 ${width} ${stripHeight(values.length, cell)}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    strip(values, { ...options, width, cell }),
  );
}

/**
 * A map of rows and columns, read by pointer and arrow keys.
 * @param {{testid: string, label: string, cell?: number, read: (row: number, column: number) => string,
 *   picked?: (row: number, column: number) => void, idle?: string}} options
 */
export function heatMap({ testid, label, cell = 5, read, picked, idle = "" }) {
  const canvas = h("canvas", { class: "heat-map", "aria-hidden": "true" });
  const cursor = h("span", { class: "heat-cursor", hidden: true });
  const reading = h("p", { class: "reading soft", role: "status", "data-testid": `${testid}-reading` }, idle);
  const frame = h(
    "div",
    {
      class: "heat-frame",
      tabindex: "0",
      role: "group",
      "aria-label": `${label}. Arrow keys read it.`,
      "data-testid": testid,
    },
    canvas,
    cursor,
  );
  let given = null;
  let at = null;

  function paint() {
    if (!given?.rows.length) return;
    const { rows, positive } = given;
    const most = given.most ?? largest(rows.flat());
    const colours = Object.fromEntries(Object.entries(NAMES).map(([key, name]) => [key, resolved(frame, name)]));
    [canvas.width, canvas.height] = [rows[0].length, rows.length];
    canvas.style.setProperty("height", `${cell * rows.length}px`);
    const image = new ImageData(canvas.width, canvas.height);
    rows.flat().forEach((value, n) => {
      const { name, strength } = shade(value, { positive, most });
      image.data.set([...colours[name], Math.round(255 * strength)], 4 * n);
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function move(place) {
    at = place;
    cursor.hidden = place === null;
    if (place === null) {
      reading.textContent = idle;
      return;
    }
    const [row, column] = place;
    const { rows } = given;
    const share = (n, of) => `${(100 * n) / of}%`;
    for (const [key, value] of [
      ["left", share(column, rows[0].length)],
      ["width", share(1, rows[0].length)],
      ["top", share(row, rows.length)],
      ["height", share(1, rows.length)],
    ])
      cursor.style.setProperty(key, value);
    reading.textContent = read(row, column);
    picked?.(row, column);
  }

  const within = (n, of) => Math.max(0, Math.min(of - 1, Math.floor(n)));
  frame.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (!given?.rows.length) return;
    const box = canvas.getBoundingClientRect();
    const { rows } = given;
    const row = within(((clientY - box.top) * rows.length) / box.height, rows.length);
    move([row, within(((clientX - box.left) * rows[0].length) / box.width, rows[0].length)]);
  });
  frame.addEventListener("pointerleave", () => move(null));
  frame.addEventListener("blur", () => move(null));
  frame.addEventListener("keydown", (event) => {
    if (!given?.rows.length) return;
    const [row, column] = at ?? [0, -1];
    const [down, right] =
      { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -1e9], End: [0, 1e9] }[
        event.key
      ] ?? [];
    if (event.key === "Escape") move(null);
    if (down === undefined) return;
    event.preventDefault();
    move([within(row + down, given.rows.length), within(column + right, given.rows[0].length)]);
  });
  onTheme(paint);

  return {
    root: h("figure", { class: "heat-figure" }, frame, h("figcaption", {}, reading)),
    /** @param {{rows: (number | null)[][], positive?: boolean, most?: number}} now */
    draw(now) {
      given = now;
      move(null);
      paint();
    },
    point: move,
  };
}

/** A colour of the theme as it is now: red, green and blue. */
function resolved(node, name) {
  const probe = h("span", { hidden: true, style: { color: `var(${name})` } });
  node.append(probe);
  const found = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number);
  probe.remove();
  return found;
}
