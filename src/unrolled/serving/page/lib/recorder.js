/** Runs in the browser's audio thread: hands on what the microphone hears, mono, about eight blocks a second. */

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(2 ** Math.round(Math.log2(sampleRate / 8)));
    this.used = 0;
    this.port.onmessage = () => {
      this.port.postMessage(this.block.slice(0, this.used));
      this.used = 0;
      this.port.postMessage(null);
    };
  }

  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let n = 0; n < length; n += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[n];
      this.block[this.used] = sum / channels.length;
      this.used += 1;
      if (this.used === this.block.length) {
        this.port.postMessage(this.block.slice());
        this.used = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
