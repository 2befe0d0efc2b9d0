/**
 * Elements and small habits. No markup is ever parsed, so whatever a model or a person writes stays text; styles are
 * set through the object model, which the Content-Security-Policy allows.
 */

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("button", { class: "quiet", onclick: go, "data-testid": "go" }, "Go")`. */
export const h = (tag, props, ...children) => filled(document.createElement(tag), props, children);

/** The same for SVG. */
export const svg = (tag, props, ...children) => filled(document.createElementNS(SVG, tag), props, children);

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/**
 * Tabs after the ARIA pattern: arrow keys, Home and End go through them, one of them is in the tab order.
 * @param {{view: string, title: string}[]} tabs
 * @param {(view: string) => void} shown called with the one that is chosen
 */
export function tabList(tabs, shown, label) {
  const buttons = tabs.map(({ view, title }) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${view}`,
        "aria-controls": `panel-${view}`,
        "aria-selected": "false",
        tabindex: "-1",
        "data-testid": `tab-${view}`,
        onclick: () => choose(view),
      },
      title,
    ),
  );
  const root = h("div", { role: "tablist", "aria-label": label, class: "tabs", onkeydown: keys }, buttons);

  function keys(event) {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = (to + buttons.length) % buttons.length;
    buttons[next].focus();
    choose(tabs[next].view);
  }

  function choose(view) {
    tabs.forEach((tab, n) => {
      const is = tab.view === view;
      buttons[n].setAttribute("aria-selected", String(is));
      buttons[n].tabIndex = is ? 0 : -1;
    });
    centre();
    shown(view);
  }

  /** The chosen one in the middle, where there is no room for all; the page itself stays where it is. */
  function centre() {
    const chosen = buttons.find((button) => button.tabIndex === 0);
    if (!chosen) return;
    const [box, inner] = [root.getBoundingClientRect(), chosen.getBoundingClientRect()];
    root.scrollLeft += inner.left + inner.width / 2 - (box.left + box.width / 2);
  }

  new ResizeObserver(centre).observe(root);
  return { root, choose };
}

/** What a tab remembers while the browser's tab is open. */
export function memory(view) {
  const key = (name) => `unrolled.${view}.${name}`;
  return {
    get(name, otherwise) {
      try {
        const kept = sessionStorage.getItem(key(name));
        return kept === null ? otherwise : JSON.parse(kept);
      } catch {
        return otherwise;
      }
    },
    set(name, value) {
      try {
        sessionStorage.setItem(key(name), JSON.stringify(value));
      } catch {
        // a full or forbidden store costs the memory, never the page
      }
    },
  };
}

/** Call `run` when nothing has called for it for `milliseconds`; `.now()` calls at once, `.cancel()` never. */
export function later(run, milliseconds) {
  let timer = 0;
  const wait = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(run, milliseconds, ...args);
  };
  wait.now = (...args) => (clearTimeout(timer), run(...args));
  wait.cancel = () => clearTimeout(timer);
  return wait;
}

/** An async function of which only the last call counts: it aborts the one before, whose promise never settles. */
export function onlyLast(run) {
  let before = null;
  return (...args) => {
    before?.abort();
    const controller = new AbortController();
    before = controller;
    return new Promise((resolve, reject) => {
      run(controller.signal, ...args).then(
        (value) => controller.signal.aborted || resolve(value),
        (error) => controller.signal.aborted || reject(error),
      );
    });
  };
}

/** A sentence at the edge of the screen that goes away by itself. */
export function toast(text) {
  const one = h("p", { class: "toast" }, text);
  document.getElementById("toasts").append(one);
  setTimeout(() => one.remove(), 5000);
}

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

/** A number as people write it: at most `digits` significant ones. */
export const number = (value, digits = 3) =>
  Number(value).toLocaleString("en", { maximumSignificantDigits: digits, useGrouping: Math.abs(value) >= 10_000 });

/** A file's bytes in base64. */
export async function base64(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}

/** A number with its sign, a true minus among them. */
export const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

/** A colour for each label, the same one all the time: `--label-0` to `--label-7` of styles/theme.css, then again. */
export function colours(labels) {
  const order = new Map(labels.map((label, n) => [label, n % 8]));
  const colour = (label) => {
    if (!order.has(label)) order.set(label, order.size % 8);
    return `var(--label-${order.get(label)})`;
  };
  colour.labels = () => order.keys();
  return colour;
}

/** A model's labels, if there is a colour for each; of more, labels get one as they come. */
export const coloured = ({ labels }) => (labels.length <= 8 ? labels : []);

/** From places in a text as the server counts them, in code points, to JavaScript's, in units of UTF-16. */
export function placesIn(text) {
  if (!/[\ud800-\udbff]/.test(text)) return (place) => place;
  const units = [0];
  for (const character of text) units.push(units.at(-1) + character.length);
  return (place) => units[Math.min(place, units.length - 1)];
}

/** Call when the theme changes: what is painted does not follow by itself. */
export function onTheme(changed) {
  const changes = { attributes: true, attributeFilter: ["data-theme"] };
  new MutationObserver(changed).observe(document.documentElement, changes);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
