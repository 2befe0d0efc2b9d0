/** A sound: recorded or dropped, and played with its wave; a model that hears one way is told as it is recorded. */

import { base64, blobOf, button, h } from "../lib/dom.js";
import { joined, microphone, wav } from "../lib/sound.js";
import { Timeline } from "../lib/timeline.js";
import { loudest, Wave } from "../lib/wave.js";
import { dropZone } from "../lib/widgets.js";

/** seconds before a word from which it is heard again */
const LEAD = 0.15;
const EMPTY = { name: "sentence.wav", type: "audio/wav" };

export class SoundInput {
  static reads = (example) => typeof example?.sound === "string";

  constructor({ id, model, note, changed, connect, pushed }) {
    this.hint = "Record, or drop a sound file.";
    Object.assign(this, { model, note, changed, connect, pushed, sound: null, file: EMPTY, steps: [] });
    Object.assign(this, { recording: null, stream: null, blocks: [], count: 0, isBusy: false });
    this.record = button(`${id}-record`, "Record", () => this.toggle(), { class: "primary record" });
    this.time = h("span", { class: "soft time", "data-testid": `${id}-time` }, "0.0 s");
    this.player = h("audio", { "data-testid": `${id}-player` });
    this.start = button(`${id}-play`, "Play", () => this.playOrPause(), { disabled: true });
    this.wave = new Wave({ id, moved: (share) => (this.player.currentTime = share * (this.player.duration || 0)) });
    this.timeline = new Timeline({ id, moved: (step) => this.seek(step) });
    this.zone = dropZone({
      id,
      accept: "audio/wav,audio/x-wav,audio/flac,audio/ogg,.wav,.flac,.ogg",
      title: "Choose a sound",
      hint: "or drop it here: WAV, FLAC or OGG",
      taken: (file) => this.taken(file),
    });
    const row = h("div", { class: "row" }, this.record, this.start, this.time);
    this.root = h("div", {}, row, this.wave.root, this.timeline.root, this.zone.root, this.player);
    this.listen();
  }

  listen() {
    const { player } = this;
    for (const name of ["timeupdate", "seeked"]) player.addEventListener(name, () => this.follow());
    for (const name of ["play", "pause", "ended"])
      player.addEventListener(name, () => (this.start.textContent = player.paused ? "Play" : "Pause"));
  }

  /** The sound moved: the hand, the step, and whoever shows words. */
  follow() {
    const { currentTime: now, duration } = this.player;
    this.wave.at(duration ? now / duration : null);
    if (this.steps.length && duration) this.timeline.show(Math.floor((this.steps.length * now) / duration));
    this.heard?.(now);
  }

  get value() {
    return this.sound && { sound: this.sound };
  }

  async toggle() {
    if (this.isBusy) return;
    this.isBusy = true;
    await (this.recording ? this.finish() : this.begin()).catch((error) => this.note.problem(error));
    this.isBusy = false;
  }

  async begin() {
    this.clear();
    this.recording = await microphone((samples) => this.hear(samples));
    this.record.textContent = "Stop";
    this.record.setAttribute("aria-pressed", "true");
    await this.hearAlong(this.recording.rate);
  }

  /** Send what is heard as it comes; where that can't be, the whole is sent after the recording. */
  async hearAlong(rate) {
    const heard = (answer) =>
      answer.error ? this.note.problem(new Error(answer.error.detail)) : this.pushed(answer.result);
    const opening = this.connect({ rate, restores: true, heard });
    if (!opening) return;
    try {
      await opening.ready;
    } catch (error) {
      opening.close();
      this.note.problem(error);
      return;
    }
    // what was heard before the connection stood
    for (const block of this.blocks) opening.samples(block);
    this.stream = opening;
  }

  hear(samples) {
    this.blocks.push(samples);
    this.count += samples.length;
    this.wave.peak(loudest(samples));
    this.time.textContent = `${(this.count / (this.recording?.rate ?? 48_000)).toFixed(1)} s`;
    if (this.stream && !this.stream.samples(samples)) {
      this.stream.close();
      this.stream = null;
      this.note.say("Connection lost; the whole recording is read when it ends.");
    }
  }

  async finish() {
    const { recording, stream } = this;
    await recording.stop();
    this.recording = null;
    this.stream = null;
    this.record.textContent = "Record";
    this.record.removeAttribute("aria-pressed");
    const samples = joined(this.blocks);
    const blob = wav(samples, recording.rate);
    this.load(blob, samples);
    const sound = await base64(blob);
    if (stream) {
      const last = await stream.push({ samples: "", rate: recording.rate, last: true }).finally(() => stream.close());
      this.sound = sound;
      this.pushed(last);
    } else {
      this.sound = sound;
      this.changed(true);
    }
  }

  async taken(file) {
    if (this.recording) await this.toggle();
    await this.open(file, { name: file.name, type: file.type || "audio/wav" });
  }

  async show({ sound }) {
    await this.open(blobOf(sound, "audio/wav"), EMPTY);
  }

  async open(blob, file) {
    this.file = file;
    this.zone.name(file === EMPTY ? "" : file.name);
    const context = new OfflineAudioContext(1, 1, 16_000);
    const decoded = await context.decodeAudioData(await blob.arrayBuffer()).catch(() => null);
    this.load(blob, decoded?.getChannelData(0) ?? new Float32Array());
    if (decoded) this.time.textContent = `${decoded.duration.toFixed(1)} s`;
    this.sound = await base64(blob);
    this.changed(true);
  }

  load(blob, samples) {
    if (this.player.src) URL.revokeObjectURL(this.player.src);
    this.player.src = URL.createObjectURL(blob);
    this.start.disabled = false;
    this.wave.draw(samples);
  }

  clear() {
    this.player.pause();
    this.player.removeAttribute("src");
    this.start.disabled = true;
    this.time.textContent = "0.0 s";
    this.wave.clear();
    this.zone.name("");
    Object.assign(this, { file: EMPTY, sound: null, blocks: [], count: 0 });
    this.changed(true);
  }

  playOrPause() {
    if (this.player.paused) this.player.play();
    else this.player.pause();
  }

  /** Hear a place again. */
  play(seconds) {
    if (this.start.disabled) return;
    this.player.currentTime = Math.max(0, seconds - LEAD);
    this.player.play();
  }

  mark(steps) {
    this.steps = steps;
    this.timeline.draw(steps);
  }

  seek(step) {
    this.player.currentTime = ((step + 0.5) / this.steps.length) * (this.player.duration || 0);
  }

  stop() {
    this.player.pause();
    if (this.recording) this.toggle();
  }
}
