/**
 * A stream over a WebSocket: messages with ids, answers as promises, and a connection that comes back by itself.
 *
 * `latest(push)` is for what replaces what was pushed before (a text as it is now): while an answer is awaited only
 * the newest waits behind it; the promise of one that was never sent resolves to undefined.
 */

import { Problem } from "./problem.js";

const FIRST = 250;
const LONGEST = 8000;
/** close codes of the server: the stream was idle, is refused, a message was too large, the server is stopping */
const IDLE = 1001,
  REFUSED = 1008,
  TOO_LARGE = 1009,
  RESTART = 1012;

export class Stream {
  /**
   * @param {() => {url: URL, token: string | null}} where
   * @param {object} options `told(text)`: says how the connection is; `restores`: whether to go on from the state that
   *   the server leaves when it stops (a text needs none: it is pushed whole again); `heard(answer)`: answers to
   *   binary messages.
   */
  constructor(where, { told = () => {}, restores = false, heard = () => {} } = {}) {
    Object.assign(this, { where, told, restores, heard });
    this.waiting = new Map();
    this.id = 0;
    this.failures = 0;
    this.saved = null;
    this.over = false;
    this.next = null;
    this.busy = false;
    this.timer = null;
    this.refusal = null;
    this.ready = new Promise((resolve, reject) => {
      this.opened = resolve;
      this.refused = reject;
    });
    this.ready.catch(() => {});
    this.open();
  }

  open() {
    const { url, token } = this.where();
    const socket = new WebSocket(url, token ? [`unrolled.bearer.${token}`] : []);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      if (!this.refusal) this.told("");
      this.opened();
      const unanswered = [...this.waiting.values()];
      if (this.saved !== null) this.post({ restore: this.saved });
      this.saved = null;
      for (const { message } of unanswered) socket.send(JSON.stringify(message));
    };
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = (event) => this.closed(event);
  }

  take(answer) {
    if ("closing" in answer) {
      if (this.restores && !answer.stream) this.saved = answer.state;
      return;
    }
    if (answer.id === null || answer.id === undefined) {
      if (answer.error) this.refusal = new Problem(answer.error);
      return this.heard(answer);
    }
    this.wellAgain();
    const entry = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (!entry) return;
    if (answer.error?.status === 503) {
      this.again(entry, answer.error);
    } else if (answer.error?.status === 410 && !this.restores && !entry.tries) {
      // cut off half way: what is pushed whole can begin anew
      this.post({ reset: true }).catch(entry.reject);
      this.again(entry, answer.error);
    } else if (answer.error) {
      entry.reject(new Problem(answer.error));
    } else {
      entry.resolve(answer);
    }
  }

  /** Too much was waiting: the same message once more, a little later. */
  again(entry, problem) {
    entry.tries += 1;
    if (entry.tries > 4) return entry.reject(new Problem(problem));
    setTimeout(
      () => {
        this.waiting.set(entry.message.id, entry);
        if (this.isOpen) this.socket.send(JSON.stringify(entry.message));
      },
      FIRST * 2 ** entry.tries,
    );
  }

  closed({ code }) {
    if (this.over) return;
    if (code === REFUSED) return this.giveUp();
    if (code === TOO_LARGE) this.drop(new Problem({ status: 413, detail: "This is too large for one message." }));
    // it sleeps until there is something to say
    if (code === IDLE && !this.waiting.size) return;
    this.failures += 1;
    if (this.failures > 1 || code === RESTART) this.told(this.refusal?.message ?? "Connecting again …");
    const wait = Math.min(LONGEST, FIRST * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.open();
    }, wait);
  }

  wellAgain() {
    if (this.refusal) this.told("");
    this.failures = 0;
    this.refusal = null;
  }

  giveUp() {
    const problem = this.refusal ?? new Problem({ status: 0, detail: "The server refused this stream." });
    this.drop(problem);
    this.refused(problem);
  }

  /** Give up all messages that are not answered. */
  drop(problem) {
    for (const { reject } of this.waiting.values()) reject(problem);
    this.waiting.clear();
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Send a message without its id; the answer, whole. What is sent while there is no connection waits for one. */
  post(message) {
    this.id += 1;
    const whole = { id: this.id, ...message };
    return new Promise((resolve, reject) => {
      this.waiting.set(whole.id, { message: whole, resolve, reject, tries: 0 });
      if (this.isOpen) this.socket.send(JSON.stringify(whole));
      else if (this.socket.readyState === WebSocket.CLOSED && !this.timer) this.open();
    });
  }

  /** Push, and the result of it. */
  async push(push) {
    return (await this.post({ push })).result;
  }

  /** Push what replaces all before. */
  latest(push) {
    this.next?.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.next = { push, resolve, reject };
      if (!this.busy) this.drain();
    });
  }

  async drain() {
    this.busy = true;
    while (this.next) {
      const { push, resolve, reject } = this.next;
      this.next = null;
      try {
        resolve(await this.push(push));
      } catch (error) {
        reject(error);
      }
    }
    this.busy = false;
  }

  /** Samples, as they are; false where there is no connection to take them. */
  samples(array) {
    if (this.isOpen) this.socket.send(array.buffer);
    return this.isOpen;
  }

  async reset() {
    await this.post({ reset: true });
  }

  /** The state, as a token. */
  async save() {
    return (await this.post({ save: true })).state;
  }

  close() {
    this.over = true;
    clearTimeout(this.timer);
    this.told("");
    this.socket.close(1000);
  }
}
