/** A sheet of paper: drawn on with a mouse, a finger, or the arrow keys while the pen is down. */

import { h } from "./dom.js";

const SIDE = 280,
  PEN = 22,
  STEP = 7;

/** @param {{id: string, label: string, changed: () => void}} options `changed` after each stroke, also while it goes */
export function drawing({ id, label, changed }) {
  const canvas = h("canvas", {
    id,
    width: SIDE,
    height: SIDE,
    class: "paper",
    tabindex: "0",
    role: "img",
    "data-testid": id,
    "aria-label": `${label}. With the keyboard: arrows move the pen, space sets it down and lifts it, Delete clears.`,
  });
  const cursor = h("span", { class: "pen", "aria-hidden": "true" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let last = null,
    isEmpty = true,
    pen = { x: SIDE / 2, y: SIDE / 2, down: false };

  function clear() {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    isEmpty = true;
    pen.down = false;
    place();
  }

  function stroke(from, to) {
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    isEmpty = false;
    changed();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * SIDE) / box.width, y: ((event.clientY - box.top) * SIDE) / box.height };
  }

  function place() {
    cursor.style.setProperty("left", `${(100 * pen.x) / SIDE}%`);
    cursor.style.setProperty("top", `${(100 * pen.y) / SIDE}%`);
    cursor.classList.toggle("down", pen.down);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    stroke(last, { x: last.x + 0.1, y: last.y });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) {
      const next = at(one);
      stroke(last, next);
      last = next;
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (way) {
      const clip = (v) => Math.max(0, Math.min(SIDE, v));
      const next = { x: clip(pen.x + STEP * way[0]), y: clip(pen.y + STEP * way[1]) };
      if (pen.down) stroke(pen, next);
      Object.assign(pen, next);
    } else if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) stroke(pen, { x: pen.x + 0.1, y: pen.y });
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
      changed();
    } else return;
    event.preventDefault();
    canvas.classList.add("by-keys");
    place();
  });
  clear();

  return {
    root: h(
      "div",
      { class: "pad" },
      h("div", { class: "sheet-of-paper" }, canvas, cursor),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", "data-testid": `${id}-clear`, onclick: () => (clear(), changed()) }, "Clear"),
      ),
    ),
    get isEmpty() {
      return isEmpty;
    },
    png: () =>
      new Promise((resolve) => {
        canvas.toBlob(resolve, "image/png");
      }),
    /** Show an image instead; what is drawn next begins anew on it. */
    async show(file) {
      clear();
      const image = await createImageBitmap(file).catch(() => null);
      if (!image) return;
      const scale = Math.min(SIDE / image.width, SIDE / image.height);
      context.imageSmoothingEnabled = scale < 1;
      context.drawImage(
        image,
        (SIDE - image.width * scale) / 2,
        (SIDE - image.height * scale) / 2,
        image.width * scale,
        image.height * scale,
      );
    },
  };
}
