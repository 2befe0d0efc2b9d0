/**
 * A text field with a layer behind its letters, on which words are marked and what might come next stands in grey. The
 * layer sets the same text in the same type, so that both wrap alike; the field grows with its text, and scrolling is
 * the box's, so they can't come apart. Whatever the page puts into the text, the browser's undo takes back.
 */

import { h, later } from "./dom.js";

/** @typedef {{start: number, end: number, class?: string, tag?: string, hue?: string, strength?: number}} Mark */

/** milliseconds before a ghost is announced: nobody listens to one for each letter */
const ANNOUNCE = 600;
/** pixels that a finger moves in the direction of writing to take the ghost */
const SWIPE = 40;

export class Editor {
  /**
   * @param {{id: string, label: string, placeholder?: string, describedby?: string,
   *   changed: (text: string, event: InputEvent) => void}} options
   */
  constructor({ id, label, placeholder = "", changed }) {
    Object.assign(this, { id, changed, isComposing: false, pointed: null, moved: null, accepted: null });
    this.sizer = h("div", { class: "sizer", "aria-hidden": "true", dir: "auto" });
    this.layer = h("div", { class: "layer", "aria-hidden": "true", dir: "auto" });
    this.spoken = h("p", { class: "hidden", role: "status", "data-testid": `${id}-spoken` });
    this.area = h("textarea", {
      id,
      placeholder,
      dir: "auto",
      spellcheck: "false",
      autocapitalize: "sentences",
      rows: 1,
      "data-testid": id,
    });
    this.box = h("div", { class: "editor" }, h("div", { class: "sheet" }, this.sizer, this.layer, this.area));
    this.root = h("div", { class: "field" }, h("label", { for: id, class: "label" }, label), this.box, this.spoken);
    this.marked = [];
    this.next = null;
    this.before = "";
    this.drawn = new Map();
    this.announce = later(() => this.speak(), ANNOUNCE);
    this.listen();
    this.draw();
  }

  listen() {
    const { area, box } = this;
    area.addEventListener("input", (event) => this.edited(event));
    area.addEventListener("compositionstart", () => ((this.isComposing = true), this.ghost(null)));
    area.addEventListener("compositionend", () => {
      this.isComposing = false;
      this.moved?.();
    });
    document.addEventListener("selectionchange", () => {
      if (document.activeElement !== area) return;
      this.caretMoved();
      this.moved?.();
    });
    box.addEventListener("pointermove", ({ clientX, clientY }) => this.pointed?.(this.markAt(clientX, clientY)));
    box.addEventListener("pointerleave", () => this.pointed?.(null));
    area.addEventListener("click", (event) => this.onGhost(event) && this.accepted?.());
    let from = null;
    box.addEventListener("touchstart", ({ touches }) => (from = touches.length === 1 ? touches[0] : null));
    box.addEventListener("touchend", ({ changedTouches: [to] }) => {
      const way = from ? (to.clientX - from.clientX) * (this.isRightToLeft ? -1 : 1) : 0;
      if (way > SWIPE && Math.abs(to.clientY - from.clientY) < SWIPE) this.accepted?.();
      from = null;
    });
  }

  get text() {
    return this.area.value;
  }

  /** Where the caret is; null while text is selected or composed. */
  get caret() {
    const { selectionStart, selectionEnd } = this.area;
    return selectionStart === selectionEnd && !this.isComposing ? selectionEnd : null;
  }

  get isRightToLeft() {
    return getComputedStyle(this.layer).direction === "rtl";
  }

  /** Another text, as if nobody had typed it: the beginning of a page. */
  set(text) {
    this.area.value = text;
    this.before = text;
    this.marked = [];
    this.next = null;
    this.draw();
    this.area.setSelectionRange(text.length, text.length);
  }

  /** Another text in place of all there is, or `text` at the caret; the browser's undo takes it back. */
  replace(text) {
    this.area.focus();
    this.area.select();
    this.type(text);
  }

  type(text) {
    this.area.focus();
    if (!text && this.area.selectionStart === this.area.selectionEnd) return;
    if (text ? document.execCommand("insertText", false, text) : document.execCommand("delete")) return;
    this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
    this.area.dispatchEvent(new Event("input"));
  }

  edited(event) {
    this.follow(this.text);
    this.next = null;
    this.draw();
    // the box grew: what is typed at its end stays in sight
    if (this.area.selectionEnd === this.text.length && document.activeElement === this.area)
      this.box.scrollTop = this.box.scrollHeight;
    this.changed(this.text, event);
  }

  /** Marks behind an edit move with their letters; those it touches go. */
  follow(text) {
    const { before } = this;
    const most = Math.min(before.length, text.length);
    let head = 0;
    let tail = 0;
    while (head < most && before[head] === text[head]) head += 1;
    while (tail < most - head && before[before.length - 1 - tail] === text[text.length - 1 - tail]) tail += 1;
    const moved = text.length - before.length;
    const rest = before.length - tail;
    this.marked = this.marked.flatMap((mark) => {
      if (mark.end <= head) return [mark];
      return mark.start >= rest ? [{ ...mark, start: mark.start + moved, end: mark.end + moved }] : [];
    });
    this.before = text;
  }

  /** @param {Mark[]} marks in order, none over another */
  mark(marks) {
    this.marked = marks;
    this.box.classList.toggle(
      "labelled",
      marks.some(({ tag }) => tag),
    );
    this.draw();
  }

  draw() {
    const { text } = this;
    // a line that ends the text counts only with something on it
    this.sizer.textContent = `${text}\u200b`;
    this.drawn = new Map();
    const parts = [];
    let at = 0;
    for (const mark of this.marked) {
      if (mark.start < at || mark.end > text.length || mark.start >= mark.end) continue;
      const { hue = "", strength = 1, tag } = mark;
      const looks = { class: mark.class, style: { "--hue": hue, "--strength": strength }, "data-tag": tag };
      const node = h("mark", looks, text.slice(mark.start, mark.end));
      this.drawn.set(node, mark);
      parts.push(text.slice(at, mark.start), node);
      at = mark.end;
    }
    if (this.next) {
      const grey = h("span", { class: "ghost", "data-testid": `${this.id}-ghost` }, this.next.text);
      parts.push(text.slice(at, this.next.at), grey);
      at = this.next.at;
    }
    this.layer.replaceChildren(...parts, text.slice(at));
  }

  /** Grey text at a place, or null. Returns whether it can stand there without lying over other letters. */
  ghost(text, at) {
    if (!text && !this.next) return false;
    this.next = text ? { text, at } : null;
    this.draw();
    const rest = this.text.slice(at);
    const isAlone = () => this.layer.querySelector(".ghost").getClientRects().length === 1;
    if (this.next && rest && (rest.split("\n", 1)[0] || !isAlone())) {
      this.next = null;
      this.draw();
    }
    this.announce();
    return this.next !== null;
  }

  speak() {
    this.spoken.textContent = this.next ? `Suggestion: ${this.next.text.trim()}. Press Tab to accept.` : "";
  }

  /** A tap on the grey letters, with some room around them for a finger. */
  onGhost({ clientX, clientY }) {
    const room = 6;
    return [...(this.layer.querySelector(".ghost")?.getClientRects() ?? [])].some(
      ({ left, right, top, bottom }) =>
        clientX >= left - room && clientX <= right + room && clientY >= top - room && clientY <= bottom + room,
    );
  }

  markAt(x, y) {
    const node = document.elementsFromPoint(x, y).find((one) => this.drawn.has(one));
    return this.drawn.get(node) ?? null;
  }

  caretMoved() {
    if (!this.pointed) return;
    const at = this.area.selectionStart;
    this.pointed(this.marked.find((mark) => mark.start <= at && at <= mark.end) ?? null);
  }

  /** How high each line of the text stands in the field, and how tall it is with its wrapped parts. */
  lines() {
    const range = document.createRange();
    const top = this.layer.getBoundingClientRect().top;
    this.layer.normalize();
    const walker = document.createTreeWalker(this.layer, NodeFilter.SHOW_TEXT);
    const places = [];
    let at = 0;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      places.push({ node, at, end: at + node.length });
      at += node.length;
    }
    let start = 0;
    return this.text.split("\n").map((line) => {
      const place = places.find((one) => one.end > start) ?? places.at(-1);
      const from = start;
      start += line.length + 1;
      if (!place) return 0;
      range.setStart(place.node, Math.min(from - place.at, place.node.length));
      range.setEnd(place.node, Math.min(from - place.at + 1, place.node.length));
      return (range.getClientRects()[0]?.top ?? top) - top;
    });
  }
}
