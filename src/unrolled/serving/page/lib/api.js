/** The server, from the page: requests, their problems, the token, server-sent events. */

import { Problem } from "./problem.js";
import { Stream } from "./stream.js";
import { askToken } from "./token.js";

const TOKEN = "unrolled.token";
const PATIENCE = 3;

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

export class Api {
  /** @param {(text: string) => void} told what the page shows about its connection; "" while all is well */
  constructor(told = () => {}) {
    this.told = told;
    this.base = new URL(".", document.baseURI);
  }

  get token() {
    return sessionStorage.getItem(TOKEN);
  }

  address(path) {
    return new URL(path, this.base);
  }

  /** A response that is fine. Asks for a token at 401, waits and tries again when the server is busy. */
  async request(path, { method = "GET", body, headers = {}, signal } = {}) {
    const json = body !== undefined && !(body instanceof Blob);
    for (let attempt = 0; ; attempt += 1) {
      const used = this.token;
      let response;
      try {
        response = await fetch(this.address(path), {
          method,
          signal,
          cache: "no-store",
          body: json ? JSON.stringify(body) : body,
          headers: {
            Accept: "application/json",
            ...(json ? { "Content-Type": "application/json" } : {}),
            ...(used ? { Authorization: `Bearer ${used}` } : {}),
            ...headers,
          },
        });
      } catch (error) {
        if (signal?.aborted) throw error;
        throw new Problem({ status: 0, detail: "The server does not answer; is it still running?" });
      }
      if (response.ok) return response;
      const problem = await problemOf(response);
      if (problem.status === 401 && (await this.renewToken(used))) continue;
      if (problem.status === 503 && problem.retryAfter && attempt < PATIENCE) {
        await pause(problem.retryAfter, signal);
        continue;
      }
      throw problem;
    }
  }

  /** Ask the person for a token, once for all requests that wait; whether there is another now. */
  async renewToken(used) {
    if (this.token !== used) return true;
    this.asking ??= askToken(used !== null).finally(() => (this.asking = null));
    const given = await this.asking;
    if (!given) return false;
    sessionStorage.setItem(TOKEN, given);
    return true;
  }

  async json(path, options) {
    return (await this.request(path, options)).json();
  }

  path(name, verb) {
    return `v1/models/${encodeURIComponent(name)}${verb ? `/${verb}` : ""}`;
  }

  /** All models that are loaded. */
  async models() {
    return (await this.json("v1/models")).models;
  }

  model(name) {
    return this.json(this.path(name));
  }

  /** A prediction for each input. */
  async predict(name, inputs, options = {}, signal) {
    const body = { inputs, options };
    return (await this.json(this.path(name, "predict"), { method: "POST", body, signal })).predictions;
  }

  /** What happens inside for one input; `asked` holds what is wanted of it. */
  inspect(name, input, asked = {}, signal) {
    return this.json(this.path(name, "inspect"), { method: "POST", body: { input, ...asked }, signal });
  }

  /** Text written on; `piece` is called with each bit of it. Returns the last event, all of it. */
  async write(name, asked, piece, signal) {
    for await (const { event, data } of this.events(this.path(name, "write"), {
      method: "POST",
      body: asked,
      signal,
    })) {
      if (event === "piece") piece(data.text);
      if (event === "done") return data;
      if (event === "error") throw new Problem(data);
    }
    throw new Problem({ status: 0, detail: "The server stopped before the text was finished." });
  }

  /** Server-sent events as `{event, data}`, data read as JSON. By fetch: an EventSource can't carry a token. */
  async *events(path, options = {}) {
    const response = await this.request(path, { ...options, headers: { Accept: "text/event-stream" } });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (held + value).replaceAll("\r\n", "\n").split("\n\n");
      held = blocks.pop();
      for (const block of blocks) {
        const fields = block.split("\n").filter((line) => !line.startsWith(":"));
        const of = (name) =>
          fields.filter((l) => l.startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).trimStart());
        if (of("data").length) yield { event: of("event")[0] ?? "message", data: JSON.parse(of("data").join("\n")) };
      }
    }
  }

  /** A stream over a WebSocket; see stream.js. */
  stream(name, options = {}) {
    const url = this.address(this.path(name, "stream"));
    url.protocol = url.protocol.replace("http", "ws");
    if (options.rate) url.searchParams.set("rate", options.rate);
    return new Stream(() => ({ url, token: this.token }), { told: this.told, ...options });
  }
}

async function problemOf(response) {
  const after = Number(response.headers.get("Retry-After"));
  const body = await response.json().catch(() => ({}));
  return new Problem({ status: response.status, ...body }, Number.isFinite(after) && after > 0 ? after : null);
}
