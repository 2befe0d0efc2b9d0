/**
 * The page's start: which models are loaded, a tab for each use among them, and two more: what happens inside any
 * model, and training runs that are watched. A tab is `mount(root)`, called when it is first shown, and `show()` and
 * `hide()`, called whenever it comes and goes. Tabs are in the browser's history.
 *
 *   - tab.js joins an input (inputs/, by the model's `widget`) and an output (outputs/, by its `view`)
 *   - elements are made with h() and svg() of lib/dom.js, never out of text; styles by `style: {…}`, no attribute
 *   - colours come from styles/theme.css: --accent, --label-0 … --label-7 for labels, by colours() of lib/format.js
 *   - errors go to the tab's notice, in the page's words; what tests look for has a data-testid: `${use}-…`
 */

import { emptyPage } from "./empty.js";
import { Inside } from "./inside/tab.js";
import { Api } from "./lib/api.js";
import { h, memory } from "./lib/dom.js";
import { capital } from "./lib/format.js";
import { tabList } from "./lib/tablist.js";
import { takeFiles } from "./lib/widgets.js";
import { Tab } from "./tab.js";
import { Training } from "./training/tab.js";

/** Uses in the order of the page; others follow as they are loaded. */
const ORDER = ["generate", "classify", "tag", "translate", "recognize", "caption", "label", "transcribe", "forecast"];

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
    const tabs = tabsOf(models, runs, api);
    if (tabs.length) showTabs(main, tabs);
    else main.replaceChildren(emptyPage());
  } catch (error) {
    main.replaceChildren(h("p", { class: "notice problem", "data-testid": "page-problem" }, error.message));
  }
}

function tabsOf(models, runs, api) {
  const uses = [...new Set([...ORDER, ...models.map(({ task }) => task)])];
  const tabs = uses
    .map((task) => ({ task, models: models.filter((model) => model.task === task) }))
    .filter((use) => use.models.length)
    .map((use) => {
      // the names of the two other tabs are theirs
      const key = use.task === "inside" || use.task === "training" ? `${use.task}-use` : use.task;
      return { key, title: capital(use.task.replaceAll(/[_-]/g, " ")), tab: new Tab({ key, models: use.models, api }) };
    });
  if (models.length) tabs.push({ key: "inside", title: "Inside", tab: new Inside({ models, api }) });
  if (runs.length) tabs.push({ key: "training", title: "Training", tab: new Training({ runs, api }) });
  return tabs;
}

function panelOf({ key }) {
  return h("section", {
    role: "tabpanel",
    id: `panel-${key}`,
    "aria-labelledby": `tab-${key}`,
    class: "panel",
    hidden: true,
    "data-testid": `panel-${key}`,
  });
}

function showTabs(main, tabs) {
  const panels = new Map(tabs.map((one) => [one.key, panelOf(one)]));
  const mounted = new Set();
  let current = null;
  main.replaceChildren(...panels.values());

  function show(key) {
    if (key === current) return;
    const one = tabs.find((each) => each.key === key);
    tabs.find((each) => each.key === current)?.tab.hide();
    for (const [name, panel] of panels) panel.hidden = name !== key;
    if (!mounted.has(key)) one.tab.mount(panels.get(key));
    mounted.add(key);
    one.tab.show();
    current = key;
    document.title = `${one.title} · Unrolled`;
    kept.set("tab", key);
  }

  const list = tabList(
    tabs,
    (key) => {
      if (key !== current) history.pushState(null, "", `#${key}`);
      show(key);
    },
    "What the models do",
  );
  const asked = () => [location.hash.slice(1), current, kept.get("tab")].find((key) => panels.has(key)) ?? tabs[0].key;
  const goto = () => {
    list.mark(asked());
    show(asked());
  };
  document.getElementById("tabs").replaceChildren(list.root);
  history.replaceState(null, "", `#${asked()}`);
  goto();
  addEventListener("popstate", goto);
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
