/** What goes wrong, in the page's words. */

import { capital } from "./format.js";

/** A problem (RFC 9457) that the server answered with; `message` is its one line. */
export class Problem extends Error {
  constructor(problem, retryAfter = null) {
    super(problem.detail || problem.title || `The server answered ${problem.status}.`);
    this.name = "Problem";
    this.status = problem.status ?? 0;
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** What the server calls an input that came as JSON. */
const FIELD = /^(input|inputs|features|image|sound|clip|table|values|frames|samples|stream)(\[[\d, ]+\])?: /;

/**
 * An error as people at the page can use it: with the name of their file, and without the options of a command.
 * @param {Error} error
 * @param {string} [file] the name of the file that was given
 */
export function worded(error, file = "") {
  const said = error.message || String(error);
  const clauses = said
    .replace(FIELD, "")
    .replaceAll(/\btable\.csv(?::(\d+))?\b/g, (_, line) => `${file || "the table"}${line ? `, line ${line}` : ""}`)
    .split(/; (?![^(]*\))/)
    .filter((clause) => !/(^|[\s(])--[a-z]/.test(clause));
  const places = (error.errors ?? []).map(({ place, message }) => `${place}: ${message}`);
  const text = [clauses.join("; ") || "The model can't read this", ...places.slice(0, 2)].join(". ");
  const begun = file && text.startsWith(file) ? text : capital(text);
  return `${begun}${/[.!?…]$/.test(text) ? "" : "."}`;
}
