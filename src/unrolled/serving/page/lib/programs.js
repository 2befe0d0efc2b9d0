/** "From a program": the lines of curl and Python that ask what the tab asks. */

import { h, toast } from "./dom.js";

const LONG = 160;

/** A word for the shell, quoted if it has to be. */
const shell = (text) => (/^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A value as Python writes it. */
export function python(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([k, v]) => `${python(k)}: ${python(v)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

/** Short enough to be read; what is left out is written as three dots. */
export const short = (text) => (text.length > LONG ? `${text.slice(0, LONG)}…` : text);

/** A disclosure of the lines; `.draw({curl, python})` sets them. */
export function programs(view) {
  const blocks = { curl: block("Shell", `${view}-curl`), python: block("Python", `${view}-python`) };
  const root = h(
    "details",
    { class: "programs", "data-testid": `${view}-programs` },
    h("summary", {}, "How to do this from a program"),
    blocks.curl.root,
    blocks.python.root,
  );
  return {
    root,
    draw(lines) {
      blocks.curl.text.textContent = lines.curl;
      blocks.python.text.textContent = lines.python;
    },
  };
}

function block(name, testid) {
  const text = h("code", { "data-testid": testid });
  const copy = h(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-label": `Copy the ${name} lines`,
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(text.textContent);
          toast("Copied");
        } catch {
          getSelection().selectAllChildren(text);
          toast("The browser blocked copying; the lines are selected");
        }
      },
    },
    "Copy",
  );
  return {
    text,
    root: h(
      "figure",
      {},
      h("figcaption", { class: "row" }, name, copy),
      h("pre", { class: "code", tabindex: "0" }, text),
    ),
  };
}

function header(api, lines) {
  const bearer = api.token ? ', token="…"' : "";
  const path = lines.some((line) => line.includes("Path(")) ? "from pathlib import Path\n\n" : "";
  return `${path}import unrolled\n\nclient = unrolled.Client(${JSON.stringify(api.base.origin)}${bearer})\n`;
}

const authorized = (api) => (api.token ? " \\\n  -H 'Authorization: Bearer …'" : "");

/** A POST of JSON. */
export function curlJson(api, path, body, { events = false } = {}) {
  const accept = events ? " \\\n  -H 'Accept: text/event-stream'" : "";
  return (
    `curl -s${events ? "N" : ""} ${shell(api.address(path).href)}${accept}${authorized(api)} \\\n` +
    `  -H 'Content-Type: application/json' -d ${shell(JSON.stringify(body))}`
  );
}

/** A POST of a file as it is. */
function curlFile(api, path, type, file, options = {}) {
  const url = api.address(path);
  for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value);
  return `curl -s ${shell(url.href)}${authorized(api)} \\\n  -H 'Content-Type: ${type}' --data-binary @${shell(file)}`;
}

/** Lines of Python after the client has been made. */
export const pythonLines = (api, ...lines) => `${header(api, lines)}${lines.join("\n")}`;

const keywords = (options) =>
  Object.entries(options)
    .map(([name, value]) => `, ${name}=${python(value)}`)
    .join("");

/** An input in a few letters: files and long tables are not spelled out. */
export function brief(value) {
  if (typeof value === "string") return short(value);
  if (Array.isArray(value)) return value.slice(0, 3);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, brief(one)]));
}

/** Both for `predict`: of a file if the input is one, else of JSON. */
export function predictLines(api, { name }, value, file, options) {
  const path = api.path(name, "predict");
  const shown = brief(value);
  const given = file ? `Path(${python(file.name)})` : python(shown);
  return {
    curl: file ? curlFile(api, path, file.type, file.name, options) : curlJson(api, path, { inputs: [shown], options }),
    python: pythonLines(api, `print(client.predict(${python(name)}, ${given}${keywords(options)}))`),
  };
}
