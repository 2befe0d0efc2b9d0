/** Tables of text: CSV with commas, semicolons or tabs, as far as a page needs them. The server reads them anew. */

/** @returns {{header: string[] | null, rows: string[][]}} */
export function readTable(text) {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\n|\r/)
    .filter((line) => line.trim());
  const first = lines[0] ?? "";
  const mark = [",", ";", "\t"].reduce((a, b) => (first.split(b).length > first.split(a).length ? b : a));
  const rows = lines.map((line) => cells(line, mark));
  const named = rows.length > 1 && rows[0].some((cell, n) => !isNumber(cell) && isNumber(rows[1][n]));
  return { header: named ? rows[0] : null, rows: named ? rows.slice(1) : rows };
}

function cells(line, mark) {
  if (!line.includes('"')) return line.split(mark).map((cell) => cell.trim());
  const found = [""];
  let quoted = false;
  for (let n = 0; n < line.length; n += 1) {
    if (line[n] === '"' && quoted && line[n + 1] === '"') {
      found[found.length - 1] += '"';
      n += 1;
    } else if (line[n] === '"') quoted = !quoted;
    else if (line[n] === mark && !quoted) found.push("");
    else found[found.length - 1] += line[n];
  }
  return found.map((cell) => cell.trim());
}

export const isNumber = (cell) => cell !== undefined && cell !== "" && Number.isFinite(Number(cell));

/** How many cells of a column are numbers, as a share. */
const filled = (rows, n) => rows.filter((row) => isNumber(row[n])).length / Math.max(1, rows.length);

/**
 * The numbers of a table, a row for each step: those of the columns that are asked for, if it has them all, else all
 * but columns of times, labels and names.
 */
export function numbersOf({ header, rows }, columns = []) {
  const width = rows[0]?.length ?? 0;
  const asked = columns.map((name) => header?.indexOf(name) ?? -1);
  const kept =
    asked.length && asked.every((n) => n >= 0)
      ? asked
      : Array.from({ length: width }, (_, n) => n).filter(
          (n) => !/^(time|timestamp|date|label|sequence|frame)$/i.test(header?.[n] ?? "") && filled(rows, n) === 1,
        );
  return rows.map((row) => kept.map((n) => Number(row[n])));
}
