/** Frames: a label for each moment of a clip or a recording, as a coloured strip under a scrubber. */

import { base64, coloured, colours, h, onlyLast, percent } from "../dom.js";
import { curlJson, predictFile, programs, python, pythonLines } from "../programs.js";
import { numbersOf, readTable } from "../table.js";
import { dropZone, legend, modelBar, notice, verdict } from "../widgets.js";

export const view = "frames";
export const title = "Frames";

const CLIPS = "video/*,.mkv,.csv,.tsv";
/** labels that say that nothing happens */
const NOTHING = new Set(["background", "sil", "sp"]);

export function mount(root, models, api) {
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Drop a clip, or a table with a row for each step.",
    chosen: () => ask(),
  });
  const zone = dropZone({
    view,
    accept: CLIPS,
    title: "Choose a clip or a table, or drop it here",
    hint: "MP4, MOV, WebM, Matroska, AVI, MPEG, Ogg; CSV",
    taken,
  });
  const video = h("video", {
    muted: true,
    playsinline: true,
    controls: true,
    hidden: true,
    "data-testid": "frames-video",
  });
  const strip = h("div", { class: "strip", "aria-hidden": "true", "data-testid": "frames-strip" });
  const scrubber = h("input", {
    type: "range",
    class: "scrubber",
    min: 0,
    max: 0,
    step: 1,
    value: 0,
    disabled: true,
    "aria-label": "Step",
    "data-testid": "frames-scrubber",
    oninput: () => seek(Number(scrubber.value)),
  });
  const now = verdict("frames-now");
  const meaning = h("div", {});
  const list = h("ol", { class: "segments", "data-testid": "frames-segments", "aria-label": "Segments" });
  const predict = onlyLast((signal, input) => api.predict(bar.model.name, [input], {}, signal));
  let unplayable = "";
  let file = null,
    found = null,
    colour = colours([]);

  root.append(
    bar.root,
    zone.root,
    note.root,
    video,
    h("div", { class: "track-box" }, strip, scrubber),
    now.root,
    meaning,
    list,
    lines.root,
  );
  video.addEventListener("timeupdate", follow);
  video.addEventListener("play", function each() {
    follow();
    if (!video.paused) requestAnimationFrame(each);
  });
  video.addEventListener("error", () => {
    if (!video.getAttribute("src")) return;
    video.hidden = true;
    unplayable = "The browser can't play this clip; its labels stand below all the same.";
    note.say(unplayable);
  });
  told();

  async function taken(given) {
    file = given;
    unplayable = "";
    zone.name(given.name);
    const isVideo = given.type.startsWith("video/");
    if (video.src) URL.revokeObjectURL(video.src);
    if (isVideo) video.src = URL.createObjectURL(given);
    else video.removeAttribute("src");
    video.hidden = !isVideo;
    ask();
  }

  const isTable = () => /\.(csv|tsv|txt)$/i.test(file.name);

  async function ask() {
    told();
    if (!file) return;
    note.say("Looking …");
    try {
      const input = isTable()
        ? { features: numbersOf(readTable(await file.text()), bar.model.columns) }
        : { clip: await base64(file) };
      [found] = await predict(input);
      note.say(unplayable);
      draw();
    } catch (error) {
      note.problem(error);
    }
  }

  function draw() {
    const { labels, segments } = found;
    const seen = [...new Set(labels)].sort();
    const names = [...new Set([...coloured(bar.model), ...seen])].filter((label) => !NOTHING.has(label));
    colour = colours(names);
    strip.replaceChildren(
      ...segments.map(({ label, begin, end, score }) =>
        h("span", {
          class: "piece",
          title: `${label} ${percent(score)}`,
          style: { "flex-grow": end - begin, "--hue": NOTHING.has(label) ? "transparent" : colour(label) },
        }),
      ),
    );
    scrubber.max = labels.length - 1;
    scrubber.disabled = false;
    meaning.replaceChildren(legend("frames-legend", names, colour));
    list.replaceChildren(...segments.filter(({ label }) => !NOTHING.has(label)).map(segmentRow));
    seek(0);
  }

  function segmentRow({ label, begin, end, score, begin_seconds: from, end_seconds: to }) {
    const when = from === null || from === undefined ? `${begin}–${end}` : `${from.toFixed(2)}–${to.toFixed(2)} s`;
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "quiet segment", onclick: () => seek(begin), "data-testid": "frames-segment" },
        h("span", { class: "dot", style: { "--hue": colour(label) } }),
        h("span", {}, label),
        h("span", { class: "soft" }, `${when} · ${percent(score)}`),
      ),
    );
  }

  /** Show a step, and move the clip there. */
  function seek(step) {
    show(step);
    const rate = rateOf();
    if (!video.hidden && rate) video.currentTime = Math.min((step + 0.5) / rate, video.duration || Infinity);
  }

  /** The clip moved: the step that is seen. */
  function follow() {
    const rate = rateOf();
    if (found && rate) show(Math.min(found.labels.length - 1, Math.floor(video.currentTime * rate)));
  }

  const rateOf = () => found && (found.rate ?? (video.duration ? found.labels.length / video.duration : null));

  function show(step) {
    if (!found) return;
    scrubber.value = step;
    const label = found.labels[step],
      seconds = found.rate ? `${(step / found.rate).toFixed(2)} s` : `step ${step + 1} of ${found.labels.length}`;
    scrubber.setAttribute("aria-valuetext", `${seconds}: ${label}`);
    now.say(label, found.scores[step], NOTHING.has(label) ? "var(--line)" : colour(label), ` · ${seconds}`);
  }

  function told() {
    const { name = "clip.mp4", type = "video/mp4" } = file ?? {};
    if (!file || !isTable()) return lines.draw(predictFile(api, bar.model, { name, type: type || "video/mp4" }));
    const input = {
      features: [
        [0.1, 0.2],
        [0.3, 0.4],
      ],
    };
    lines.draw({
      curl: curlJson(api, api.path(bar.model.name, "predict"), { inputs: [input] }),
      python: pythonLines(
        api,
        "# a row of numbers for each step",
        `print(client.predict(${python(bar.model.name)}, ${python(input)}))`,
      ),
    });
  }

  return { hide: () => video.pause() };
}
