/** A forecast: a fan of what comes, and the same tried where it is known what came. */

import { chart } from "../lib/chart.js";
import { button, h } from "../lib/dom.js";
import { brief, judged, laidOut, meantOf, placed, reading } from "./forecasts.js";

/** earlier forecasts that are tried */
const ORIGINS = 3;
const TRIED = { colour: "var(--label-1)", dashed: true };

export class NumbersOutput {
  hint = "The band shows how sure the forecast is.";

  constructor({ id, kept, input, ask }) {
    Object.assign(this, { id, input, ask, forecasts: [], isTried: false });
    this.horizon = h("input", {
      type: "number",
      id: `${id}-horizon`,
      min: 1,
      max: 2000,
      step: 1,
      placeholder: "as trained",
      "data-testid": `${id}-horizon`,
      onchange: () => ask(),
    });
    this.which = h("select", {
      hidden: true,
      "data-testid": `${id}-series`,
      "aria-label": "Series",
      onchange: () => this.show(),
    });
    this.tried = button(`${id}-backtest`, "Backtest", () => this.tryIt(), { "aria-pressed": "false" });
    const idle = "Point at the chart to read values.";
    this.fan = chart({ testid: `${id}-chart`, label: "The forecast", height: 300, idle });
    this.score = h("p", { class: "score", role: "status", "data-testid": `${id}-score` });
    const label = h("label", { for: this.horizon.id, class: "soft" }, "Steps ahead");
    const settings = [this.which, label, h("span", { class: "narrow" }, this.horizon), this.tried];
    this.root = h("div", {}, h("div", { class: "row settings" }, settings), this.fan.root, this.score);
    this.clear();
  }

  get options() {
    return this.horizon.value ? { horizon: Number(this.horizon.value) } : {};
  }

  inputs(value) {
    return [{ ...value, backtest: this.isTried ? ORIGINS : 0 }];
  }

  tryIt() {
    this.isTried = !this.isTried;
    this.tried.setAttribute("aria-pressed", String(this.isTried));
    this.ask();
  }

  draw(forecasts) {
    this.forecasts = forecasts;
    const chosen = this.which.value;
    const names = forecasts.map(({ series }) => series);
    this.which.replaceChildren(...names.map((value) => h("option", { value, selected: value === chosen }, value)));
    this.which.hidden = names.length < 2;
    this.tried.disabled = false;
    this.show();
  }

  clear() {
    this.tried.disabled = true;
    this.score.textContent = "";
    this.fan.draw({ x: { min: 0, max: 1, format: () => "" }, y: { min: 0, max: 1, format: () => "" }, lines: [] });
  }

  show() {
    const one = this.forecasts.find(({ series }) => series === this.which.value) ?? this.forecasts[0];
    const laid = laidOut(one);
    const known = laid.values.map((value, n) => [n, value]);
    const ahead = placed(one, laid.now, known.at(-1));
    const earlier = laid.tried.map(({ forecast, at }) => placed(forecast, at));
    const time = brief(laid.times);
    const outer = earlier.flatMap(({ levels }) => levels.slice(0, 1));
    this.fan.draw({
      x: { format: (n) => time(laid.times[n]), whole: true },
      y: { label: one.series },
      lines: [
        { name: "measured", colour: "var(--soft)", points: known },
        { name: "forecast", points: ahead.line },
        ...earlier.map(({ line }, n) => ({ name: n ? "" : "backtest", points: line, ...TRIED })),
      ],
      bands: [
        ...outer.map((points) => ({ points, colour: TRIED.colour, opacity: 0.14 })),
        ...ahead.levels.map((points, n) => ({ points, opacity: 0.18 * (n + 1), name: meantOf(one, n) })),
      ],
      rules: [{ x: laid.now - 1, label: "now" }],
      read: (n) => reading(laid, one, n),
    });
    this.score.textContent = this.isTried ? judged(laid) : "";
  }

  facts() {
    const levels = Object.keys(this.forecasts[0]?.quantiles ?? {});
    return [["Quantiles", levels.sort((a, b) => a - b).join(", ")]];
  }
}
