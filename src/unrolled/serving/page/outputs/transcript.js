/** Listen: words out of sound, while it is recorded where the model hears one way, else after it. */

import { base64, h, onlyLast, percent } from "../dom.js";
import { predictFile, programs } from "../programs.js";
import { joined, loudest, microphone, wav, wave } from "../sound.js";
import { dropZone, modelBar, notice } from "../widgets.js";

export const view = "listen";
export const title = "Listen";

const SOUNDS = "audio/wav,audio/x-wav,audio/flac,audio/ogg,.wav,.flac,.ogg";

export function mount(root, models, api) {
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Record, or drop a sound. Press a word to hear it.",
    chosen: () => (stop(), told()),
  });
  const record = h(
    "button",
    { type: "button", class: "primary record", "data-testid": "listen-record", onclick: toggle },
    "Record",
  );
  const time = h("span", { class: "soft time", "data-testid": "listen-time" }, "0.0 s");
  const zone = dropZone({ view, accept: SOUNDS, title: "or choose a sound", hint: "WAV, FLAC or OGG", taken });
  const picture = wave("listen-wave");
  const player = h("audio", { controls: true, hidden: true, "data-testid": "listen-player" });
  const words = h("p", {
    class: "heard",
    id: "listen-result",
    "data-testid": "listen-result",
    role: "group",
    "aria-label": "What was heard",
  });
  const predict = onlyLast((signal, sound) => api.predict(bar.model.name, [{ sound }], {}, signal));
  let recording = null,
    stream = null,
    blocks = [],
    count = 0,
    file = null,
    busy = false,
    soFar = [];

  root.append(
    bar.root,
    h("div", { class: "row" }, record, time),
    picture.root,
    words,
    note.root,
    h("div", { class: "player" }, player),
    zone.root,
    lines.root,
  );
  player.addEventListener("timeupdate", () => {
    picture.at(player.duration ? player.currentTime / player.duration : null);
    for (const word of words.querySelectorAll("button")) {
      word.classList.toggle(
        "now",
        player.currentTime >= Number(word.dataset.begin) && player.currentTime < Number(word.dataset.end),
      );
    }
  });
  told();

  async function toggle() {
    if (busy) return;
    busy = true;
    await (recording ? stop() : begin()).catch(note.problem);
    busy = false;
  }

  async function begin() {
    note.clear();
    words.replaceChildren();
    picture.clear();
    player.hidden = true;
    [blocks, count, soFar] = [[], 0, []];
    recording = await microphone(hear);
    record.textContent = "Stop";
    record.setAttribute("aria-pressed", "true");
    if (bar.model.streams) await listenAlong(recording.rate);
  }

  /** Send what is heard as it comes; where that can't be, the whole is heard after the recording. */
  async function listenAlong(rate) {
    const opening = api.stream(bar.model.name, {
      rate,
      restores: true,
      heard: (answer) => (answer.error ? note.problem(new Error(answer.error.detail)) : more(answer.result)),
    });
    try {
      await opening.ready;
    } catch (error) {
      opening.close();
      return note.problem(error);
    }
    // what was heard before the connection stood
    for (const block of blocks) opening.samples(block);
    stream = opening;
  }

  function hear(samples) {
    blocks.push(samples);
    count += samples.length;
    picture.peak(loudest(samples));
    time.textContent = `${(count / (recording?.rate ?? 48_000)).toFixed(1)} s`;
    if (stream && !stream.samples(samples)) {
      stream.close();
      stream = null;
      note.say("The connection is away; all of it is heard after the recording.");
    }
  }

  async function stop() {
    if (!recording) return;
    const { rate } = recording;
    await recording.stop();
    recording = null;
    record.textContent = "Record";
    record.removeAttribute("aria-pressed");
    const blob = wav(joined(blocks), rate);
    play(blob, joined(blocks));
    file = null;
    if (!stream) return ask(blob);
    const live = stream;
    stream = null;
    more(await live.push({ samples: "", rate, last: true }).finally(() => live.close()));
  }

  async function taken(given) {
    await stop();
    file = given;
    zone.name(given.name);
    words.replaceChildren();
    const context = new OfflineAudioContext(1, 1, 16_000);
    const decoded = await context.decodeAudioData(await given.arrayBuffer()).catch(() => null);
    play(given, decoded?.getChannelData(0) ?? new Float32Array());
    if (decoded) time.textContent = `${decoded.duration.toFixed(1)} s`;
    ask(given);
  }

  function play(blob, samples) {
    if (player.src) URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(blob);
    player.hidden = false;
    picture.draw(samples);
  }

  async function ask(sound) {
    told();
    note.say("Listening …");
    try {
      const [one] = await predict(await base64(sound));
      draw(one);
      note.say(one.notes?.join("; ") ?? "");
    } catch (error) {
      note.problem(error);
    }
  }

  /** Words that are over, and after them, paler, what is still being said. */
  function more({ words: heard, text }) {
    soFar = [...soFar, ...heard];
    const over = soFar.map((word) => word.text).join(" ");
    draw({ words: soFar, rest: text.startsWith(over) ? text.slice(over.length) : "" });
  }

  function draw({ words: heard, rest = "" }) {
    words.replaceChildren(
      ...heard.flatMap(({ text: word, begin, end, confidence }) => [
        h(
          "button",
          {
            type: "button",
            class: "word",
            "data-begin": begin,
            "data-end": end,
            "data-testid": "listen-word",
            title: `${begin.toFixed(2)}–${end.toFixed(2)} s, ${percent(confidence)}`,
            style: { "--strength": confidence },
            onclick: () => hearAgain(begin),
          },
          word,
        ),
        " ",
      ]),
    );
    if (rest.trim()) words.append(h("span", { class: "soft" }, rest.trim()));
  }

  function hearAgain(begin) {
    if (player.hidden) return;
    player.currentTime = Math.max(0, begin - 0.15);
    player.play();
  }

  function told() {
    const name = file?.name ?? "sentence.wav",
      type = file?.type || "audio/wav";
    lines.draw(predictFile(api, bar.model, { name, type }));
  }

  return { hide: () => recording && toggle() };
}
