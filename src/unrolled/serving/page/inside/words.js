/** How steps, numbers and parameters are written in what is seen inside. */

/** The textbook's letters for the parameters of a layer. */
export const LETTERS = {
  weight_ih: "U",
  weight_hh: "W",
  bias_ih: "b",
  bias_hh: "b",
  "output.weight": "V",
  "output.bias": "c",
};

/** A step's name with signs for what can't be seen. */
export function visible(step) {
  const text = step.replaceAll("\n", "⏎").replaceAll("\t", "⇥");
  return /^ +$/.test(text) ? "␣".repeat(text.length) : text;
}

/** The same, at most so many letters long. */
export const clipped = (step, most = 12) => {
  const letters = [...visible(step)];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : letters.join("");
};

/** A cell's name without its options. */
export const cellName = (cell) => cell.replace(/(Cell)?\(.*$/, "");

export const quoted = (step) => `“${visible(step)}”`;

/** A number of any size in a few letters. */
export function short(value) {
  if (value === null || value === undefined) return "no number";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(3));
  const text =
    size < 0.01 || size >= 1e6 ? value.toExponential(1) : size < 1e4 ? `${rounded}` : rounded.toLocaleString("en");
  return text.replace("-", "−");
}
