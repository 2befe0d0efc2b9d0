/** Lines of metrics.jsonl: what all of them have, and how many are kept. */

/** what every line has, besides metrics */
export const COMMON = new Set([
  "step",
  "split",
  "loss",
  "lr",
  "grad_norm",
  "clipped",
  "items_per_second",
  "epoch",
  "seconds",
  "skipped",
  "flow",
]);
const KEPT = 4_000;

/** At most so many lines: of the older half of too many, every second one of training. */
export function thinned(lines) {
  if (lines.length <= KEPT) return lines;
  const half = lines.length / 2;
  return lines.filter((line, n) => n > half || n % 2 === 0 || line.split !== "train" || line.flow);
}

export function duration(seconds) {
  const whole = Math.round(seconds ?? 0);
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}
