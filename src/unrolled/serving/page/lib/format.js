/** Numbers, places and labels as people write them. */

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

/** A number with at most `digits` significant ones. */
export const number = (value, digits = 3) =>
  Number(value).toLocaleString("en", { maximumSignificantDigits: digits, useGrouping: Math.abs(value) >= 10_000 });

/** A number with its sign, a true minus among them. */
export const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A colour for each label, the same one all the time: `--label-0` to `--label-7` of styles/theme.css, then again. */
export function colours(labels) {
  const order = new Map(labels.map((label, n) => [label, n % 8]));
  const colour = (label) => {
    if (!order.has(label)) order.set(label, order.size % 8);
    return `var(--label-${order.get(label)})`;
  };
  colour.labels = () => [...order.keys()];
  return colour;
}

/** A model's labels, if there is a colour for each; of more, labels get one as they come. */
export const coloured = ({ labels }) => (labels.length <= 8 ? labels : []);

/** From places in a text as the server counts them, in code points, to JavaScript's, in units of UTF-16. */
export function placesIn(text) {
  if (!/[\ud800-\udbff]/.test(text)) return (place) => place;
  const units = [0];
  for (const character of text) units.push(units.at(-1) + character.length);
  return (place) => units[Math.min(place, units.length - 1)];
}

/** Labels of well-known tag sets in full; they are said beside the short form, never instead of it. */
const NAMES = {
  PER: "person",
  PERSON: "person",
  LOC: "location",
  ORG: "organisation",
  MISC: "miscellaneous",
  GPE: "country or city",
  NORP: "nationality or group",
  FAC: "facility",
  ADJ: "adjective",
  ADP: "adposition",
  ADV: "adverb",
  AUX: "auxiliary",
  CCONJ: "conjunction",
  DET: "determiner",
  INTJ: "interjection",
  NOUN: "noun",
  NUM: "numeral",
  PART: "particle",
  PRON: "pronoun",
  PROPN: "proper noun",
  PUNCT: "punctuation",
  SCONJ: "subordinating conjunction",
  SYM: "symbol",
  VERB: "verb",
};
const FEELINGS = { pos: "positive", neg: "negative", neu: "neutral" };

/**
 * How the labels of a model are spelled out: a function from a label to its name in full.
 * @param {string[]} labels all that the model knows
 */
export function spelled(labels) {
  const names = labels.length && labels.every((label) => label in FEELINGS) ? FEELINGS : NAMES;
  return (label) => names[label] ?? label;
}
