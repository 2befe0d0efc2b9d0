/** A model as WebAssembly, its weights at the end of its memory, and one stream through it. */
class Model {
  /** What the errors of the C source say, by their numbers. */
  static ERRORS = {
    "-1": "the weights are missing",
    "-2": "the weights are damaged",
    "-3": "a number is out of range, or there are too many or too few of them",
    "-4": "this is no saved state",
    "-5": "this state belongs to another model",
    "-6": "there is no room for it",
  };

  /** @param {BufferSource} code @param {Uint8Array} weights */
  static async make(code, weights) {
    const { instance } = await WebAssembly.instantiate(code, {});
    return new Model(instance.exports, weights);
  }

  constructor(exports, weights) {
    this.c = exports;
    exports._initialize();
    const at = exports.memory.buffer.byteLength;
    exports.memory.grow(Math.ceil(weights.length / 65536));
    this.bytes(at, weights.length).set(weights);
    this.checked(exports.attach(at, weights.length));
    this.begin();
  }

  /** A view of the memory, which a later growth would end. */
  bytes(at, size) {
    return new Uint8Array(this.c.memory.buffer, at, size);
  }

  checked(status) {
    if (status < 0) throw new RangeError(Model.ERRORS[status] ?? `error ${status}`);
    return status;
  }

  begin() {
    this.checked(this.c.begin());
  }

  /** The stream as bytes, which `load` takes. */
  save() {
    this.checked(this.c.save());
    return this.bytes(this.c.saved_at(), this.c.saved_size()).slice();
  }

  load(state) {
    const size = Math.min(state.length, this.c.saved_size() + 1);
    this.bytes(this.c.saved_at(), size).set(state.subarray(0, size));
    this.checked(this.c.load(size));
  }

  /** What the last step, `logits` or `forecast` wrote. */
  outputs() {
    return new Float32Array(this.c.memory.buffer, this.c.outputs_at(), this.c.output_count()).slice();
  }

  probabilities() {
    this.c.softmax();
    return this.outputs();
  }

  /** Reads UTF-8, cut anywhere. */
  push(utf8) {
    const room = this.c.room();
    for (let first = 0; first < utf8.length; first += room) {
      const piece = utf8.subarray(first, first + room);
      this.bytes(this.c.room_at(), piece.length).set(piece);
      this.checked(this.c.push(piece.length));
    }
  }

  logits() {
    this.checked(this.c.logits());
    return this.outputs();
  }

  /** The most probable ways to go on, best score first; `chosen` is the place of the one worth showing, or -1. */
  complete(words = 0) {
    const count = this.checked(this.c.complete(words));
    const suggestions = Array.from({ length: count }, (_, n) => ({
      text: this.string(this.c.suggested(n)),
      words: this.c.words(n),
      logProb: this.c.log_prob(n),
      score: this.c.score(n),
    }));
    return { suggestions, chosen: this.c.chosen(count) };
  }

  string(at) {
    const memory = new Uint8Array(this.c.memory.buffer);
    return new TextDecoder().decode(memory.subarray(at, memory.indexOf(0, at)));
  }

  give(numbers) {
    if (4 * numbers.length > this.c.room()) throw new RangeError(Model.ERRORS[-6]);
    new Float32Array(this.c.memory.buffer, this.c.room_at(), numbers.length).set(numbers);
    return numbers.length;
  }

  /** Reads the numbers of a step. */
  step(numbers) {
    this.checked(this.c.step(this.give(numbers)));
    return this.outputs();
  }

  /** Whose series it is: channel, shift, scale, and what describes it. */
  describe(numbers) {
    this.checked(this.c.describe(this.give(numbers)));
  }

  /** Of a forecaster that answers at once: what it says, given what is known of the steps to come. */
  forecast(known) {
    this.checked(this.c.forecast(this.give(known)));
    return this.outputs();
  }
}

/** A stream of text that is typed: what changes is read anew, from the last place before it that was kept. */
class Typed {
  static EVERY = 64;

  constructor(model) {
    this.model = model;
    this.read = new Uint8Array();
    this.kept = [];
  }

  /** Makes `text` what the stream has read. */
  become(text) {
    const wanted = new TextEncoder().encode(text);
    let same = 0;
    while (same < wanted.length && wanted[same] === this.read[same]) same += 1;
    let at = this.read.length;
    if (same < at) {
      while (this.kept.length && this.kept.at(-1).at > same) this.kept.pop();
      at = this.kept.at(-1)?.at ?? 0;
      if (at) this.model.load(this.kept.at(-1).state);
      else this.model.begin();
    }
    while (at < wanted.length) {
      const end = Math.min(wanted.length, at - (at % Typed.EVERY) + Typed.EVERY);
      this.model.push(wanted.subarray(at, end));
      at = end;
      if (at % Typed.EVERY === 0) this.kept.push({ at, state: this.model.save() });
    }
    this.read = wanted;
  }
}
