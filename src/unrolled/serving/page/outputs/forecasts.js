/** What a forecast looks like on a chart, what it says in words, and how far off it was. */

import { number, percent } from "../lib/format.js";

/**
 * A series on one axis of steps: the past that the server sent, farther back where an earlier forecast begins there,
 * and what comes.
 * @returns {{times: string[], values: (number | null)[], now: number, tried: {forecast: object, at: number}[]}} `now`:
 *   the step of the first forecast; `tried`: forecasts of the past and where they begin
 */
export function laidOut({ history, times: ahead, backtest }) {
  let times = history.times;
  let values = history.values;
  const places = backtest.map((forecast) => {
    const at = times.indexOf(forecast.times[0]);
    if (at >= 0) return { forecast, back: times.length - at };
    // it begins before the history: what came then is known too
    const until = forecast.times.indexOf(times[0]);
    const missing = until < 0 ? forecast.times.length : until;
    times = [...forecast.times.slice(0, missing), ...times];
    values = [...forecast.actual.slice(0, missing), ...values];
    return { forecast, back: times.length };
  });
  const tried = places.map(({ forecast, back }) => ({ forecast, at: times.length - back }));
  return { times: [...times, ...ahead], values, now: values.length, tried };
}

/** A forecast as points of a chart: its line, and pairs of quantiles from the outermost inwards. */
export function placed({ point, quantiles }, at, last = null) {
  const names = levelsOf(quantiles);
  const begin = last && last[1] !== null ? [last] : [];
  const levels = Array.from({ length: Math.floor(names.length / 2) }, (_, k) => {
    const high = quantiles[names.at(-1 - k)];
    return [...begin.map(([x, y]) => [x, y, y]), ...quantiles[names[k]].map((low, n) => [at + n, low, high[n]])];
  });
  return { line: [...begin, ...point.map((v, n) => [at + n, v])], levels };
}

const levelsOf = (quantiles) => Object.keys(quantiles).sort((a, b) => a - b);

/** What the n-th band from outside is meant to hold, for the legend. */
export function meantOf({ quantiles }, n) {
  const names = levelsOf(quantiles);
  return `${percent(names.at(-1 - n) - names[n])} of outcomes`;
}

/** The lowest and the highest quantile, and the share that is meant to lie between them; null without quantiles. */
function outermost({ quantiles }) {
  const names = levelsOf(quantiles);
  if (names.length < 2) return null;
  return { low: quantiles[names[0]], high: quantiles[names.at(-1)], meant: percent(names.at(-1) - names[0]) };
}

const told = (value) => (value === null ? "nothing" : number(value, 4));

/** A step of the axis in words. */
export function reading({ times, values, now, tried }, forecast, n) {
  const said = n < now ? [`measured ${told(values[n])}`] : inWords(forecast, n - now);
  for (const one of tried) {
    const step = n - one.at;
    if (step >= 0 && step < one.forecast.point.length) said.push(`backtest: ${inWords(one.forecast, step).join(", ")}`);
  }
  return [times[n], ...said].join(" · ");
}

function inWords(forecast, step) {
  const fan = outermost(forecast);
  const range = fan ? [`${fan.meant} between ${told(fan.low[step])} and ${told(fan.high[step])}`] : [];
  return [`forecast ${told(forecast.point[step])}`, ...range];
}

/** How far off it was, beside the simplest forecast there is, and how often what came lay within the fan. */
export function judged({ values, tried }) {
  let off = 0;
  let naive = 0;
  let inside = 0;
  let count = 0;
  for (const { forecast, at } of tried) {
    const fan = outermost(forecast);
    const before = values.slice(0, at).findLast((value) => value !== null);
    forecast.point.forEach((v, n) => {
      const came = forecast.actual[n];
      if (came === null || before === undefined) return;
      count += 1;
      off += Math.abs(v - came);
      naive += Math.abs(before - came);
      inside += fan && fan.low[n] <= came && came <= fan.high[n] ? 1 : 0;
    });
  }
  if (!count) return "The series is too short for a backtest.";
  const fan = outermost(tried[0].forecast);
  const said = [
    `Mean absolute error over ${count} steps: ${number(off / count)};`,
    `repeating the last value: ${number(naive / count)}.`,
    fan && `${percent(inside / count)} of the actual values fell in the band, which should hold ${fan.meant}.`,
    tried.some(({ forecast }) => forecast.in_training) &&
      "The model was trained on some of these values, so this looks better than it is.",
  ];
  return said.filter(Boolean).join(" ");
}

/** days up to which an axis tells hours too */
const HOURLY = 8;

/**
 * Times short enough for an axis, where they are dates, else as they are: a day and its month, and the hour where a few
 * days are shown that have hours.
 * @param {string[]} times all of the axis
 * @returns {(time: string) => string}
 */
export function brief(times) {
  const days = new Set(times.map((time) => time.slice(0, 10)));
  const isHourly = days.size < Math.min(times.length, HOURLY);
  return (time = "") => {
    const [, year, month, day, hour] = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d:\d\d))?/.exec(time) ?? [];
    if (!year) return time;
    const date = new Date(Date.UTC(year, month - 1, day));
    const told = date.toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" });
    return isHourly && hour ? `${told}, ${hour}` : told;
  };
}
