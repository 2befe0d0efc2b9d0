/**
 * The page's start: which models are loaded, and a tab for each thing that they do.
 *
 * A tab is a module in tabs/ with three exports:
 *
 *     view    which models it is for: those whose `view` is this; see FOR_ALL and TRAINING for the two exceptions
 *     title   what stands on the tab
 *     mount(root, models, api)   fill `root`, the tab's panel, the first time it is shown. `models` are those of the
 *                                view, as GET /v1/models lists them (for `training` the runs of GET /v1/training).
 *                                May return {show(), hide()}, called whenever the tab comes and goes.
 *
 * What all tabs keep to:
 *   - elements with h() and svg() of dom.js, never out of text; styles by `style: {…}` of h(), never as an attribute
 *   - widgets.js has what tabs share: modelBar (the picker, facts and examples on top), notice (one quiet line for
 *     problems and hints), bars, dropZone; programs.js is "from a program"; editor.js a text with marks or a ghost
 *   - chart.js draws curves, bands and rules with axes, and reads them by pointer and arrow keys
 *   - memory(view) of dom.js keeps texts and choices; onlyLast and later of dom.js tame what is asked at each keystroke
 *   - colours come from styles/theme.css: --accent, --label-0 … --label-7 for labels, by colours(labels) of dom.js
 *   - errors that people can do something about go to the tab's notice; `notice.problem(error)` takes any of them
 *   - what tests and people look for has an id or data-testid: `${view}-…`, and results keep their place as they come
 */

import { Api } from "./api.js";
import { h, memory, tabList } from "./dom.js";
import { emptyPage } from "./empty.js";
import { takeFiles } from "./widgets.js";

/** In the order of the page: files of tabs/. FOR_ALL are for any model, TRAINING for runs that are watched. */
const VIEWS = ["write", "translate", "entities", "feeling", "caption", "recognize", "listen", "frames", "forecast"];
const FOR_ALL = ["inside"];
const TRAINING = ["training"];

const kept = memory("page");

async function start() {
  const main = document.getElementById("main");
  const connection = document.getElementById("connection");
  const api = new Api((text) => {
    connection.textContent = text;
  });
  themeButton();
  takeFiles();
  try {
    const models = await api.models();
    // a link carries no token
    document.querySelector(".foot").hidden = api.token !== null;
    const { runs } = await api.json("v1/training");
    const asked = [
      ...VIEWS.map((view) => [view, models.filter((model) => model.view === view)]),
      ...FOR_ALL.map((view) => [view, models]),
      ...TRAINING.map((view) => [view, runs]),
    ].filter(([, given]) => given.length);
    const modules = await Promise.all(asked.map(([view]) => import(`./tabs/${view}.js`)));
    const tabs = modules.map((module, n) => ({ ...module, given: asked[n][1] }));
    if (tabs.length) showTabs(main, tabs, api);
    else main.replaceChildren(emptyPage());
  } catch (error) {
    main.replaceChildren(h("p", { class: "notice problem", "data-testid": "page-problem" }, error.message));
  }
}

function showTabs(main, tabs, api) {
  const panels = new Map(
    tabs.map(({ view }) => [
      view,
      h("section", {
        role: "tabpanel",
        id: `panel-${view}`,
        "aria-labelledby": `tab-${view}`,
        class: "panel",
        hidden: true,
        "data-testid": `panel-${view}`,
      }),
    ]),
  );
  const mounted = new Map();
  let current = null;
  main.replaceChildren(...panels.values());

  const list = tabList(
    tabs,
    (view) => {
      if (view === current) return;
      mounted.get(current)?.hide?.();
      for (const [name, panel] of panels) panel.hidden = name !== view;
      const tab = tabs.find((one) => one.view === view);
      if (!mounted.has(view)) mounted.set(view, tab.mount(panels.get(view), tab.given, api) ?? {});
      mounted.get(view).show?.();
      current = view;
      document.title = `${tab.title} · Unrolled`;
      history.replaceState(null, "", `#${view}`);
      kept.set("view", view);
    },
    "What the models do",
  );

  const wanted = () => [location.hash.slice(1), current, kept.get("view")].find((view) => panels.has(view));
  document.getElementById("tabs").replaceChildren(list.root);
  list.choose(wanted() ?? tabs[0].view);
  addEventListener("hashchange", () => list.choose(wanted()));
}

/** Light, dark, or as the system says: a button that goes through them. */
function themeButton() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const names = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const order = Object.keys(names);
  let now = root.dataset.theme ?? "auto";
  const say = () => {
    button.textContent = names[now];
  };
  button.addEventListener("click", () => {
    now = order[(order.indexOf(now) + 1) % order.length];
    if (now === "auto") delete root.dataset.theme;
    else root.dataset.theme = now;
    localStorage.setItem("unrolled.theme", now);
    say();
  });
  say();
}

start();
