/** Forecast: a fan of what comes, and the same tried where it is known what came. */

import { chart } from "../chart.js";
import { h, number, onlyLast } from "../dom.js";
import { brief, example, fanned, judged, placed, ranged, timeAt } from "../forecasts.js";
import { curlJson, programs, python, pythonLines } from "../programs.js";
import { readTable, seriesOf, without } from "../table.js";
import { dropZone, modelBar, notice } from "../widgets.js";

export const view = "forecast";
export const title = "Forecast";

/** values before the forecast that are shown, as a multiple of what is forecast; and windows of a backtest */
const PAST = 3,
  WINDOWS = 4;

export function mount(root, models, api) {
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Drop a table with a column of values, oldest first. The fan shows how sure the forecast is.",
    chosen: () => ask(),
    example: () => taken(new File([example()], "example.csv", { type: "text/csv" })),
  });
  const zone = dropZone({
    view,
    accept: ".csv,.tsv,.txt,text/csv",
    title: "Choose a table, or drop it here",
    hint: "CSV",
    taken,
  });
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
    { type: "button", "aria-pressed": "false", disabled: true, "data-testid": "forecast-backtest", onclick: backtest },
    "Try it on the past",
  );
  const fan = chart({
    testid: "forecast-chart",
    label: "The forecast",
    height: 300,
    idle: "Point at the chart to read values.",
  });
  const score = h("p", { class: "score", id: "forecast-score", role: "status", "data-testid": "forecast-score" });
  const predict = onlyLast((signal, table, options) => api.predict(bar.model.name, [{ table }], options, signal));
  const options = () => (horizon.value ? { horizon: Number(horizon.value) } : {});
  let text = null,
    table = null,
    forecasts = [],
    past = [];

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
    text = await file.text();
    table = readTable(text);
    ask();
  }

  async function ask() {
    told();
    past = [];
    tried.setAttribute("aria-pressed", "false");
    score.textContent = "";
    if (text === null) return;
    note.say("Forecasting …");
    try {
      forecasts = await predict(text, options());
      const chosen = which.value;
      which.replaceChildren(
        ...forecasts.map(({ series }) => h("option", { value: series, selected: series === chosen }, series)),
      );
      which.hidden = forecasts.length < 2;
      tried.disabled = false;
      note.clear();
      draw();
    } catch (error) {
      note.problem(error);
    }
  }

  const current = () => forecasts.find(({ series }) => series === which.value) ?? forecasts[0];

  function draw() {
    const one = current();
    if (!one) return;
    const { values } = seriesOf(table, one.series);
    const from = Math.max(
      0,
      values.length -
        Math.max(PAST * one.point.length, (WINDOWS + 1) * past.length && (WINDOWS + 1) * one.point.length, 40),
    );
    const own = past.filter(({ forecast }) => forecast.series === one.series);
    const known = values.slice(from).map((v, n) => [from + n, v]);
    const last = known.at(-1);
    const ahead = placed(one, values.length, last);
    fan.draw({
      x: { format: (n) => brief(timeAt(table, one, values, n)), whole: true },
      y: { label: one.series },
      lines: [
        { name: "measured", colour: "var(--soft)", points: known },
        { name: "forecast", colour: "var(--accent)", points: ahead.line },
        ...own
          .slice(0, 1)
          .map(({ forecast, at }) => ({
            name: "tried on the past",
            colour: "var(--label-1)",
            points: placed(forecast, at).line,
            dashed: true,
          })),
        ...own
          .slice(1)
          .map(({ forecast, at }) => ({
            name: "",
            colour: "var(--label-1)",
            points: placed(forecast, at).line,
            dashed: true,
          })),
      ],
      bands: [
        ...own.flatMap(({ forecast, at }) => fanned(placed(forecast, at).levels.slice(0, 1), "var(--label-1)", 0.14)),
        ...fanned(ahead.levels, "var(--accent)", 0.18),
      ],
      rules: [{ x: values.length - 1, label: "now" }],
      read: (n) => reading(one, values, own, Math.round(n)),
    });
  }

  function reading(one, values, own, n) {
    const when = timeAt(table, one, values, n);
    const said =
      n < values.length
        ? [`measured ${values[n] === null ? "nothing" : number(values[n], 4)}`]
        : ranged(one, n - values.length);
    for (const { forecast, at } of own)
      if (n >= at && n < at + forecast.point.length) said.push(`tried: ${ranged(forecast, n - at).join(", ")}`);
    return [when, ...said].join(" · ");
  }

  /** Leave the last steps out, one window after the other, and forecast them. */
  async function backtest() {
    if (past.length) {
      past = [];
      tried.setAttribute("aria-pressed", "false");
      score.textContent = "";
      return draw();
    }
    const one = current(),
      length = one.point.length;
    const { values, rows } = seriesOf(table, one.series);
    tried.disabled = true;
    note.say("Trying it on the past …");
    try {
      for (let back = 1; back <= WINDOWS; back += 1) {
        const at = values.length - back * length;
        if (at < length) break;
        const cut = without(text, table, rows.slice(at));
        const [forecast] = (
          await api.predict(bar.model.name, [{ table: cut }], { ...options(), horizon: length })
        ).filter(({ series }) => series === one.series);
        if (forecast) past.push({ forecast, at });
      }
      note.clear();
    } catch (error) {
      if (!past.length) note.problem(error);
      else note.clear();
    }
    tried.disabled = false;
    tried.setAttribute("aria-pressed", String(past.length > 0));
    score.textContent = past.length ? judged(past, values) : "The table is too short to leave anything out.";
    draw();
  }

  function told() {
    const body = { inputs: [{ table: "time,value\n2024-01-01,12.5\n…" }], options: options() };
    const extra = horizon.value ? `, horizon=${horizon.value}` : "";
    lines.draw({
      curl: curlJson(api, api.path(bar.model.name, "predict"), body),
      python: pythonLines(
        api,
        "from pathlib import Path",
        `predictions = client.predict(${python(bar.model.name)}, [{"table": Path("sales.csv").read_text()}]${extra})`,
        "print(predictions[0])",
      ),
    });
  }
}
