/**
 * A text field with a layer behind its letters, on which words are marked or what might come next stands in grey. The
 * layer sets the same text in the same type, so that both wrap alike; the field grows with its text, and scrolling is
 * the box's, so they can't come apart.
 */

import { h } from "./dom.js";

/** @typedef {{start: number, end: number, class?: string, hue?: string, strength?: number, data?: any}} Mark */

/**
 * @param {{id: string, label: string, placeholder?: string, value?: string, describedby?: string,
 *   oninput: (text: string, event: InputEvent) => void, pointed?: (mark: Mark | null) => void}} options
 *   `pointed` is told which mark the pointer or the caret is on
 */
export function editor({ id, label, placeholder = "", value = "", describedby, oninput, pointed }) {
  const sizer = h("div", { class: "sizer", "aria-hidden": "true" });
  const layer = h("div", { class: "layer", "aria-hidden": "true" });
  const area = h("textarea", {
    id,
    placeholder,
    spellcheck: "false",
    autocapitalize: "sentences",
    rows: 1,
    value,
    "data-testid": id,
    "aria-describedby": describedby,
  });
  const box = h("div", { class: "editor" }, h("div", { class: "sheet" }, sizer, layer, area));
  const root = h("div", { class: "field" }, h("label", { for: id, class: "label" }, label), box);
  let before = value,
    marks = [],
    ghost = null,
    drawn = new Map();

  function draw() {
    const text = area.value;
    // a line that ends the text counts only with something on it
    sizer.textContent = `${text}\u200b`;
    const parts = [];
    drawn = new Map();
    let at = 0;
    for (const mark of marks) {
      if (mark.start < at || mark.end > text.length || mark.start >= mark.end) continue;
      const node = h(
        "mark",
        { class: mark.class, style: { "--hue": mark.hue ?? "", "--strength": mark.strength ?? 1 } },
        text.slice(mark.start, mark.end),
      );
      drawn.set(node, mark);
      parts.push(text.slice(at, mark.start), node);
      at = mark.end;
    }
    if (ghost) {
      parts.push(text.slice(at, ghost.at), h("span", { class: "ghost", "data-testid": `${id}-ghost` }, ghost.text));
      at = ghost.at;
    }
    layer.replaceChildren(...parts, text.slice(at));
  }

  /** Marks behind an edit move with their letters; those it touches go. */
  function follow(text) {
    const most = Math.min(before.length, text.length);
    let head = 0,
      tail = 0;
    while (head < most && before[head] === text[head]) head += 1;
    while (tail < most - head && before[before.length - 1 - tail] === text[text.length - 1 - tail]) tail += 1;
    const moved = text.length - before.length,
      rest = before.length - tail;
    marks = marks.flatMap((mark) => {
      if (mark.end <= head) return [mark];
      return mark.start >= rest ? [{ ...mark, start: mark.start + moved, end: mark.end + moved }] : [];
    });
    before = text;
  }

  area.addEventListener("input", (event) => {
    follow(area.value);
    ghost = null;
    draw();
    // the box grew: what is typed at its end stays in sight
    if (area.selectionEnd === area.value.length && document.activeElement === area) box.scrollTop = box.scrollHeight;
    oninput(area.value, event);
  });

  if (pointed) {
    const say = (mark) => pointed(mark ?? null);
    box.addEventListener("pointermove", ({ clientX, clientY }) =>
      say(drawn.get(document.elementsFromPoint(clientX, clientY).find((node) => drawn.has(node)))),
    );
    box.addEventListener("pointerleave", () => say(null));
    document.addEventListener("selectionchange", () => {
      if (document.activeElement !== area) return;
      const at = area.selectionStart;
      say(marks.find((mark) => mark.start <= at && at <= mark.end));
    });
  }
  draw();

  return {
    root,
    area,
    get text() {
      return area.value;
    },
    /** Another text, as if it had been typed. */
    set text(text) {
      area.value = text;
      area.dispatchEvent(new Event("input"));
    },
    get marks() {
      return marks;
    },
    /** @param {Mark[]} now in order, none over another */
    set marks(now) {
      marks = now;
      draw();
    },
    /** Grey text after `at` characters, or null. Returns whether it can stand there without lying over others. */
    ghost(text, at) {
      ghost = text ? { text, at } : null;
      draw();
      const rest = area.value.slice(at);
      const fits =
        !ghost || !rest || (!rest.split("\n", 1)[0] && layer.querySelector(".ghost").getClientRects().length === 1);
      if (!fits) {
        ghost = null;
        draw();
      }
      return fits;
    },
  };
}
