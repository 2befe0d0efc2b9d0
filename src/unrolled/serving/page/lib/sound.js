/** Sound in the browser: the microphone, and WAV files. */

/**
 * Open the microphone.
 * @param {(samples: Float32Array) => void} heard
 * @returns {Promise<{rate: number, stop: () => Promise<void>}>} `stop` resolves when the last samples were handed on
 */
export async function microphone(heard) {
  if (!navigator.mediaDevices)
    throw new Error("Browsers allow the microphone only on pages of this machine or over HTTPS.");
  const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } }).catch((error) => {
    throw new Error(
      error.name === "NotAllowedError" ? "Access to the microphone was denied." : "No microphone was found.",
    );
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
