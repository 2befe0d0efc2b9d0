/** Sound in the browser: the microphone, WAV files, and pictures of waves. */

import { h, onTheme } from "./dom.js";

/**
 * Open the microphone.
 * @param {(samples: Float32Array) => void} heard
 * @returns {Promise<{rate: number, stop: () => Promise<void>}>} `stop` resolves when the last samples were handed on
 */
export async function microphone(heard) {
  if (!navigator.mediaDevices)
    throw new Error("The browser gives its microphone to pages of this machine, or over https, only.");
  const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } }).catch((error) => {
    throw new Error(error.name === "NotAllowedError" ? "The microphone was not allowed." : "There is no microphone.");
  });
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("./recorder.js", import.meta.url));
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const over = new Promise((resolve) => {
    recorder.port.onmessage = ({ data }) => (data === null ? resolve() : heard(data));
  });
  context.createMediaStreamSource(media).connect(recorder);
  return {
    rate: context.sampleRate,
    async stop() {
      recorder.port.postMessage("stop");
      await over;
      for (const track of media.getTracks()) track.stop();
      await context.close();
    },
  };
}

/** A WAV file, mono, 16 bits. */
export function wav(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, n) => bytes.setUint8(at + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((v, n) => bytes.setInt16(44 + 2 * n, Math.round(32767 * Math.max(-1, Math.min(1, v))), true));
  return new Blob([bytes], { type: "audio/wav" });
}

export function joined(blocks) {
  const all = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}

/** A wave as peaks over time: `.peak(v)` adds one while recording, `.draw(samples)` shows all, `.at(share)` a place. */
export function wave(testid) {
  const canvas = h("canvas", { class: "wave", "aria-hidden": "true", "data-testid": testid });
  const hand = h("span", { class: "hand", hidden: true });
  let peaks = [];

  function paint() {
    const width = canvas.clientWidth,
      height = canvas.clientHeight,
      scale = devicePixelRatio;
    if (!width) return;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(canvas).color;
    const count = Math.floor(width / 3),
      step = Math.max(1, peaks.length / count),
      top = Math.max(0.05, ...peaks);
    for (let n = 0; n < Math.min(count, peaks.length); n += 1) {
      const some = peaks.slice(Math.floor(n * step), Math.max(Math.floor((n + 1) * step), Math.floor(n * step) + 1));
      const tall = Math.max(1.5, (Math.max(...some) / top) * (height - 6));
      context.fillRect(3 * n, (height - tall) / 2, 2, tall);
    }
  }

  new ResizeObserver(paint).observe(canvas);
  onTheme(paint);
  return {
    root: h("div", { class: "wave-box" }, canvas, hand),
    peak(value) {
      peaks.push(value);
      paint();
    },
    draw(samples) {
      const size = Math.max(1, Math.floor(samples.length / 600));
      peaks = Array.from({ length: Math.floor(samples.length / size) }, (_, n) =>
        loudest(samples.subarray(n * size, (n + 1) * size)),
      );
      paint();
    },
    clear() {
      peaks = [];
      hand.hidden = true;
      paint();
    },
    at(share) {
      hand.hidden = share === null;
      hand.style.setProperty("left", `${100 * (share ?? 0)}%`);
    },
  };
}

export const loudest = (samples) => samples.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
