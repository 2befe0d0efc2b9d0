/** A clip: played, and gone through frame by frame under the labels of its frames. */

import { base64, blobOf, h } from "../lib/dom.js";
import { Timeline } from "../lib/timeline.js";
import { dropZone } from "../lib/widgets.js";

const EMPTY = { name: "clip.mp4", type: "video/mp4" };

export class FramesInput {
  static reads = (example) => typeof example?.clip === "string";

  constructor({ id, note, changed }) {
    this.hint = "Drop a clip.";
    Object.assign(this, { note, changed, clip: null, file: EMPTY, steps: [], rate: null, warning: "" });
    this.zone = dropZone({
      id,
      accept: ".mp4,.mov,.webm,.mkv,.avi,.mpeg,.mpg,.ogv,image/gif",
      title: "Choose a clip",
      hint: "or drop it here: MP4, MOV, WebM, Matroska, AVI, MPEG or Ogg",
      taken: (file) => this.taken(file),
    });
    this.video = h("video", {
      playsinline: true,
      controls: true,
      hidden: true,
      "aria-label": "The clip",
      "data-testid": `${id}-video`,
    });
    this.video.muted = true;
    this.timeline = new Timeline({ id, moved: (step) => this.seek(step) });
    this.root = h("div", {}, this.video, this.timeline.root, this.zone.root);
    this.video.addEventListener("timeupdate", () => this.follow());
    this.video.addEventListener("play", () => this.followOften());
    this.video.addEventListener("error", () => this.unplayable());
  }

  get value() {
    return this.clip && { clip: this.clip };
  }

  async taken(file) {
    this.file = { name: file.name, type: file.type || "video/mp4" };
    this.zone.name(file.name);
    await this.load(file, await base64(file));
  }

  async show({ clip }) {
    this.file = EMPTY;
    this.zone.name("");
    await this.load(blobOf(clip, "video/webm"), clip);
  }

  load(blob, clip) {
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.clip = clip;
    this.warning = "";
    this.video.src = URL.createObjectURL(blob);
    this.video.hidden = false;
    this.changed(true);
  }

  clear() {
    this.video.removeAttribute("src");
    this.video.hidden = true;
    this.clip = null;
    this.zone.name("");
    this.changed(true);
  }

  unplayable() {
    if (!this.video.getAttribute("src")) return;
    this.video.hidden = true;
    this.warning = "The browser can't play this clip; its labels are shown below.";
    this.note.say(this.warning);
  }

  mark(steps, rate) {
    this.steps = steps;
    this.rate = rate ?? null;
    this.timeline.draw(steps, this.rate);
    if (steps.length) this.follow();
  }

  /** Steps a second: as the server says, or as many as the clip is long. */
  get speed() {
    return this.rate ?? (this.video.duration ? this.steps.length / this.video.duration : null);
  }

  /** Move the clip to a step. */
  seek(step) {
    if (!this.video.hidden && this.speed)
      this.video.currentTime = Math.min((step + 0.5) / this.speed, this.video.duration || Infinity);
  }

  /** The clip moved: the step that is seen. */
  follow() {
    if (this.steps.length && this.speed) this.timeline.show(Math.floor(this.video.currentTime * this.speed));
  }

  followOften() {
    this.follow();
    if (!this.video.paused) requestAnimationFrame(() => this.followOften());
  }

  stop() {
    this.video.pause();
  }
}
