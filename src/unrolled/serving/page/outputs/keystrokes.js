/** How many keystrokes suggestions have saved: a letter accepted is one less typed, and accepting costs one. */

import { h } from "../lib/dom.js";
import { percent } from "../lib/format.js";

const NONE = { typed: 0, accepted: 0, taken: 0 };

export class Keystrokes {
  /** @param {{id: string, kept: object}} options `kept`: where the count outlives the tab */
  constructor({ id, kept }) {
    this.kept = kept;
    this.root = h("p", { class: "soft tally", "data-testid": `${id}-saved` });
    this.say(kept.get("count", NONE));
  }

  say(count) {
    this.count = count;
    this.kept.set("count", count);
    const all = count.typed + count.accepted;
    const won = count.accepted - count.taken;
    const saved = `${won} of ${all} keystrokes saved (${percent(Math.max(0, won) / all)})`;
    this.root.textContent = all ? saved : "No keystrokes yet";
  }

  typed(letters) {
    this.say({ ...this.count, typed: this.count.typed + letters });
  }

  accepted(letters) {
    this.say({ ...this.count, accepted: this.count.accepted + letters, taken: this.count.taken + 1 });
  }
}
