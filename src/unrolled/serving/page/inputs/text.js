/** A text that is typed; the steps of a model's answer are marked in it. */

import { Editor } from "../lib/editor.js";
import { placesIn } from "../lib/format.js";

export class TextInput {
  static reads = (example) => typeof example === "string";

  constructor({ id, model, kept, note, changed }) {
    Object.assign(this, { model, kept, note, changed });
    this.hint = "Start typing.";
    this.file = null;
    this.editor = new Editor({
      id: `${id}-text`,
      label: "Your text",
      placeholder: "A few words …",
      changed: (text) => {
        kept.set("text", text);
        changed(!text.trim());
      },
    });
    this.root = this.editor.root;
    this.editor.pointed = (mark) => this.pointed?.(mark);
    if (kept.get("text", null) !== null) this.editor.set(kept.get("text"));
  }

  /** Whether somebody typed here before. */
  get isOwn() {
    return this.kept.get("text", null) !== null;
  }

  /** The place in the field where what is read begins: of a text beyond the bound the tail is sent. */
  get since() {
    const { text } = this.editor;
    const most = this.model.max_characters;
    if (text.length <= most) return 0;
    const at = text.length - most;
    const gap = text.slice(at, at + 100).search(/\s/);
    return gap >= 0 ? at + gap + 1 : /[\udc00-\udfff]/.test(text[at]) ? at + 1 : at;
  }

  get value() {
    const text = this.editor.text.slice(this.since);
    return text.trim() ? text : null;
  }

  get warning() {
    const most = this.model.max_characters.toLocaleString("en");
    return this.since ? `This text is longer than ${most} characters; only its end is read.` : "";
  }

  push() {
    return { rewrite: this.value ?? "" };
  }

  show(text) {
    this.editor.set(text);
    this.changed(true);
  }

  /** The same as if it were typed: undo brings back what was there. */
  type(text) {
    this.editor.replace(text);
  }

  clear() {
    this.type("");
    this.mark([]);
  }

  mark(steps) {
    const { since } = this;
    const place = placesIn(this.editor.text.slice(since));
    this.editor.mark(
      steps.map((step) => ({ ...step, start: since + place(step.start), end: since + place(step.end) })),
    );
  }

  /** Select what stands between two places of the value. */
  seek({ start, end }) {
    const place = placesIn(this.editor.text.slice(this.since));
    this.editor.area.focus();
    this.editor.area.setSelectionRange(this.since + place(start), this.since + place(end));
  }
}
