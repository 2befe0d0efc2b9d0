/** How many keystrokes suggestions have saved: a letter accepted is one less typed, and accepting costs one. */

import { h, percent } from "./dom.js";

const NONE = { typed: 0, accepted: 0, taken: 0 };

/** @param {ReturnType<import("./dom.js").memory>} kept where the count outlives the tab */
export function keystrokes(kept) {
  const root = h("p", { class: "soft tally", "data-testid": "write-saved" });
  let count = kept.get("count", NONE);

  function say(now) {
    count = now;
    kept.set("count", count);
    const all = count.typed + count.accepted,
      won = count.accepted - count.taken;
    root.textContent = all
      ? `${won} of ${all} keystrokes saved (${percent(Math.max(0, won) / all)})`
      : "No keystrokes yet";
  }

  say(count);
  return {
    root,
    typed: (letters) => say({ ...count, typed: count.typed + letters }),
    accepted: (letters) => say({ ...count, accepted: count.accepted + letters, taken: count.taken + 1 }),
    clear: () => say(NONE),
  };
}
