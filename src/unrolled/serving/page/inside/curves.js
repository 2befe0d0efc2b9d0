/** Curves over a logarithmic axis, as far as they can stand there. */

/**
 * A chart's lines and whether its axis is logarithmic: what is not above 0 is a gap, and one value alone has no scale.
 * @param {{points: [number, number | null][]}[]} lines
 * @param {boolean} isLog whether it is wanted
 */
export function logarithmic(lines, isLog = true) {
  const positive = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value > 0);
  if (!isLog || new Set(positive).size < 2) return { lines, log: false };
  const gaps = (points) => points.map(([at, value]) => [at, value > 0 ? value : null]);
  return { lines: lines.map((line) => ({ ...line, points: gaps(line.points) })), log: true };
}
