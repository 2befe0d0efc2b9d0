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

/** Call when the theme changes: what is painted does not follow by itself. */
export function onTheme(changed) {
  const changes = { attributes: true, attributeFilter: ["data-theme"] };
  new MutationObserver(changed).observe(document.documentElement, changes);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

/** Base64 as a file. */
export const blobOf = (text, type = "") =>
  new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type });

/** A button: its letters, what it does, and the id that people and tests look for. */
export const button = (testid, text, onclick, more = {}) =>
  h("button", { type: "button", "data-testid": testid, onclick, ...more }, text);

/** Arrow keys, Home and End among elements of which one is in the tab order. */
export function roving(event, all) {
  const at = all.indexOf(event.currentTarget);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined || !all[to]) return;
  event.preventDefault();
  event.currentTarget.tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus();
}
