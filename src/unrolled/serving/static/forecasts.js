/** What a forecast looks like on a chart, what it says in words, and how far off it was. */

import { number, percent } from "./dom.js";

/** A forecast as points of a chart: its line, and pairs of quantiles from the outermost inwards. */
export function placed({ point, quantiles }, at, last = null) {
  const names = Object.keys(quantiles).sort((a, b) => a - b);
  const begin = last && last[1] !== null ? [[last[0], last[1]]] : [];
  const levels = Array.from({ length: Math.floor(names.length / 2) }, (_, k) => {
    const low = quantiles[names[k]],
      high = quantiles[names.at(-1 - k)];
    return [...begin.map(([x, y]) => [x, y, y]), ...low.map((v, n) => [at + n, v, high[n]])];
  });
  return { line: [...begin, ...point.map((v, n) => [at + n, v])], levels };
}

export const fanned = (levels, colour, opacity) => levels.map((points) => ({ points, colour, opacity }));

const told = (value) => (value === null ? "nothing" : number(value, 4));

export function ranged(forecast, n) {
  const said = `forecast ${told(forecast.point[n])}`;
  const fan = outermost(forecast);
  return fan ? [said, `${fan.meant} between ${told(fan.low[n])} and ${told(fan.high[n])}`] : [said];
}

/** The lowest and the highest quantile, and the share that is meant to lie between them; null without quantiles. */
function outermost({ quantiles }) {
  const names = Object.keys(quantiles).sort((a, b) => a - b);
  if (names.length < 2) return null;
  return { low: quantiles[names[0]], high: quantiles[names.at(-1)], meant: percent(names.at(-1) - names[0]) };
}

/** How far off it was, beside the simplest forecast there is, and how often what came lay within the fan. */
export function judged(past, values) {
  let off = 0,
    naive = 0,
    inside = 0,
    count = 0;
  for (const { forecast, at } of past) {
    const fan = outermost(forecast);
    const before = values.slice(0, at).findLast((one) => one !== null);
    forecast.point.forEach((v, n) => {
      const came = values[at + n];
      if (came === null || came === undefined || before === undefined) return;
      count += 1;
      off += Math.abs(v - came);
      naive += Math.abs(before - came);
      inside += fan && fan.low[n] <= came && came <= fan.high[n] ? 1 : 0;
    });
  }
  const fan = outermost(past[0].forecast);
  const told = [
    `Over ${count} steps it was off by ${number(off / count)} on average,`,
    `repeating the last value by ${number(naive / count)}.`,
    fan && `${percent(inside / count)} of what came lay in the fan, which is meant to hold ${fan.meant}.`,
  ];
  return told.filter(Boolean).join(" ");
}

/** What a step is called: the table's time, the forecast's, or its number. */
export function timeAt({ header, rows }, { times }, values, n) {
  const whole = Math.round(n);
  const column = header?.findIndex((name) => /^(time|timestamp|date|ds|datetime|month|day|hour)$/i.test(name)) ?? -1;
  if (whole >= values.length) return times[whole - values.length] ?? "";
  return column >= 0 ? (rows.slice(-values.length)[whole]?.[column] ?? "") : String(whole + 1);
}

/** A time short enough for an axis: a day and its month where there are dates, else as it is. */
export function brief(time) {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)/.exec(time) ?? [];
  if (!year) return time;
  return new Date(Date.UTC(year, month - 1, day)).toLocaleDateString("en", {
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });
}

/** Four weeks of hours with a day's and a week's rhythm. */
export function example() {
  let seed = 7;
  const noise = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
  const begin = Date.UTC(2024, 2, 4);
  const rows = Array.from({ length: 24 * 28 }, (_, n) => {
    const day = Math.sin((2 * Math.PI * (n - 6)) / 24),
      week = Math.floor(n / 24) % 7 < 5 ? 1 : 0.7;
    const time = new Date(begin + 3_600_000 * n).toISOString().slice(0, 16).replace("T", " ");
    return `${time},${(week * (60 + 25 * day + 6 * noise())).toFixed(2)}`;
  });
  return `time,value\n${rows.join("\n")}\n`;
}
