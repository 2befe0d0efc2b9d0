/** Forecast: a fan of what comes, and the same tried where it is known what came. */

import { chart } from "../chart.js";
import { h, onlyLast } from "../dom.js";
import { brief, example, judged, laidOut, placed, reading } from "../forecasts.js";
import { predictFile, programs } from "../programs.js";
import { dropZone, modelBar, notice } from "../widgets.js";

export const view = "forecast";
export const title = "Forecast";

/** earlier forecasts that are tried */
const ORIGINS = 3;

export function mount(root, models, api) {
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Drop a table with a column of values, oldest first. The fan shows how sure the forecast is.",
    chosen: () => ask(),
    example: () => {
      zone.name("An example: five weeks of hours");
      input = example();
      ask();
    },
  });
  const accept = ".csv,.tsv,.txt,text/csv";
  const zone = dropZone({ view, accept, title: "Choose a table, or drop it here", hint: "CSV", taken });
  const horizon = h("input", {
    type: "number",
    id: "forecast-horizon",
    min: 1,
    max: 2000,
    step: 1,
    placeholder: "as trained",
    "data-testid": "forecast-horizon",
    onchange: () => ask(),
  });
  const which = h("select", {
    id: "forecast-series",
    hidden: true,
    "data-testid": "forecast-series",
    "aria-label": "Series",
    onchange: () => draw(),
  });
  const tried = h(
    "button",
    { type: "button", "aria-pressed": "false", disabled: true, "data-testid": "forecast-backtest", onclick: tryIt },
    "Try it on the past",
  );
  const idle = "Point at the chart to read values.";
  const fan = chart({ testid: "forecast-chart", label: "The forecast", height: 300, idle });
  const score = h("p", { class: "score", id: "forecast-score", role: "status", "data-testid": "forecast-score" });
  const predict = onlyLast((signal, series, options) => api.predict(bar.model.name, [series], options, signal));
  const options = () => (horizon.value ? { horizon: Number(horizon.value) } : {});
  let input = null;
  let forecasts = [];
  let isTried = false;

  root.append(
    bar.root,
    zone.root,
    h(
      "div",
      { class: "row settings" },
      which,
      h("label", { for: "forecast-horizon", class: "soft" }, "Steps ahead"),
      h("span", { class: "narrow" }, horizon),
      tried,
    ),
    note.root,
    fan.root,
    score,
    lines.root,
  );
  fan.draw({ x: { min: 0, max: 1, format: () => "" }, y: { min: 0, max: 1, format: () => "" }, lines: [] });
  told();

  async function taken(file) {
    zone.name(file.name);
    input = { table: await file.text() };
    ask();
  }

  async function ask() {
    told();
    if (input === null) return;
    note.say(isTried ? "Trying it on the past …" : "Forecasting …");
    try {
      forecasts = await predict(isTried ? { ...input, backtest: ORIGINS } : input, options());
      const chosen = which.value;
      const names = forecasts.map(({ series }) => series);
      which.replaceChildren(...names.map((value) => h("option", { value, selected: value === chosen }, value)));
      which.hidden = names.length < 2;
      tried.disabled = false;
      note.clear();
      draw();
    } catch (error) {
      note.problem(error);
    }
  }

  function tryIt() {
    isTried = !isTried;
    tried.setAttribute("aria-pressed", String(isTried));
    ask();
  }

  function draw() {
    const one = forecasts.find(({ series }) => series === which.value) ?? forecasts[0];
    const laid = laidOut(one);
    const known = laid.values.map((value, n) => [n, value]);
    const ahead = placed(one, laid.now, known.at(-1));
    const earlier = laid.tried.map(({ forecast, at }) => placed(forecast, at));
    const orange = { colour: "var(--label-1)", dashed: true };
    const time = brief(laid.times);
    fan.draw({
      x: { format: (n) => time(laid.times[n]), whole: true },
      y: { label: one.series },
      lines: [
        { name: "measured", colour: "var(--soft)", points: known },
        { name: "forecast", points: ahead.line },
        ...earlier.map(({ line }, n) => ({ name: n ? "" : "tried on the past", points: line, ...orange })),
      ],
      bands: [
        ...earlier.flatMap(({ levels }) =>
          levels.slice(0, 1).map((points) => ({ points, colour: orange.colour, opacity: 0.14 })),
        ),
        ...ahead.levels.map((points) => ({ points, opacity: 0.18 })),
      ],
      rules: [{ x: laid.now - 1, label: "now" }],
      read: (n) => reading(laid, one, n),
    });
    score.textContent = isTried ? judged(laid) : "";
  }

  function told() {
    lines.draw(predictFile(api, bar.model, { name: "sales.csv", type: "text/csv" }, options()));
  }
}
