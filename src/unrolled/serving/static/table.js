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

const column = (rows, n) => rows.map((row) => (isNumber(row[n]) ? Number(row[n]) : null));

/** How many cells of a column are numbers, as a share. */
const filled = (rows, n) => rows.filter((row) => isNumber(row[n])).length / Math.max(1, rows.length);

/**
 * The values of a series that a forecast is named after: a column of that name, or the rows that name it, or the last
 * column of numbers.
 * @returns {{values: (number | null)[], rows: number[]}} rows: which rows of the table they are
 */
export function seriesOf({ header, rows }, name) {
  const all = rows.map((_, n) => n);
  const wide = header?.indexOf(name) ?? -1;
  if (wide >= 0) return { values: column(rows, wide), rows: all };
  const width = rows[0]?.length ?? 0;
  const key = Array.from({ length: width }, (_, n) => n).find(
    (n) => !isNumber(name) && rows.some((row) => row[n] === name),
  );
  const own = key === undefined ? all : all.filter((n) => rows[n][key] === name);
  const numeric = Array.from({ length: width }, (_, n) => n).filter((n) => n !== key && filled(rows, n) > 0.5);
  const preferred = numeric.find((n) => /^(y|value|target)$/i.test(header?.[n] ?? ""));
  const chosen = preferred ?? numeric.at(-1);
  return {
    values:
      chosen === undefined
        ? []
        : column(
            own.map((n) => rows[n]),
            chosen,
          ),
    rows: own,
  };
}

/** The lines of a table's text without some of its rows. */
export function without(text, { header }, dropped) {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\n|\r/)
    .filter((line) => line.trim());
  const offset = header ? 1 : 0,
    gone = new Set(dropped);
  return `${lines.filter((_, n) => n < offset || !gone.has(n - offset)).join("\n")}\n`;
}

/** The numbers of a table, a row for each step, without columns of times, labels and names. */
export function numbersOf({ header, rows }) {
  const width = rows[0]?.length ?? 0;
  const kept = Array.from({ length: width }, (_, n) => n).filter(
    (n) => !/^(time|timestamp|date|label|sequence|frame)$/i.test(header?.[n] ?? "") && filled(rows, n) === 1,
  );
  return rows.map((row) => kept.map((n) => Number(row[n])));
}
