/** Caption: sentences about an image, and where the network looked as it wrote each word. */

import { base64, h, onlyLast, percent, signed } from "../dom.js";
import { predictFile, programs } from "../programs.js";
import { dropZone, modelBar, notice } from "../widgets.js";

export const view = "caption";
export const title = "Caption";

const OPTIONS = { n: 3 };
const IMAGES = "image/png,image/jpeg,image/gif,image/bmp,image/webp";

export function mount(root, models, api) {
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, {
    hint: "Drop an image. Point at a word to see where the network looked as it wrote it.",
    chosen: () => ask(),
  });
  const zone = dropZone({
    view,
    accept: IMAGES,
    title: "Choose an image, or drop it here",
    hint: "PNG, JPEG, GIF, BMP or WebP",
    taken,
  });
  const picture = h("img", { alt: "The image that is described", hidden: true, "data-testid": "caption-image" });
  const heat = h("canvas", { class: "heat", "aria-hidden": "true" });
  const stage = h("div", { class: "stage" }, picture, heat);
  const list = h("ol", {
    class: "sentences",
    id: "caption-result",
    "data-testid": "caption-result",
    "aria-label": "Captions",
  });
  const predict = onlyLast((signal, image) => api.predict(bar.model.name, [{ image }], OPTIONS, signal));
  let file = null;

  root.append(
    bar.root,
    h("div", { class: "pair" }, h("div", { class: "stack" }, zone.root, stage), h("div", {}, list, note.root)),
    lines.root,
  );

  function taken(given) {
    file = given;
    zone.name(given.name);
    if (picture.src) URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(given);
    picture.hidden = false;
    ask();
  }

  async function ask() {
    const name = file?.name ?? "photo.jpg";
    lines.draw(predictFile(api, bar.model, { name, type: file?.type || "image/jpeg" }, OPTIONS));
    if (!file) return;
    note.say("Looking …");
    try {
      const [one] = await predict(await base64(file));
      list.replaceChildren(...one.captions.map(sentence));
      note.clear();
    } catch (error) {
      list.replaceChildren();
      note.problem(error);
    }
  }

  function sentence({ words, log_prob: logProb, attention }) {
    return h(
      "li",
      {},
      h(
        "p",
        {},
        words.flatMap((word, n) => [
          h(
            "span",
            {
              class: "token",
              tabindex: n ? "-1" : "0",
              role: "button",
              "data-testid": "caption-word",
              onpointerenter: () => look(attention[n]),
              onpointerleave: () => look(null),
              onfocus: () => look(attention[n]),
              onblur: () => look(null),
              onkeydown: step,
            },
            word,
          ),
          " ",
        ]),
      ),
      h(
        "span",
        { class: "soft" },
        `${signed(logProb, 1)} nats, ${percent(Math.exp(logProb / (words.length + 1)))} a word`,
      ),
    );
  }

  /** Dark where the network did not look. */
  function look(grid) {
    heat.classList.toggle("on", grid !== null);
    if (!grid) return;
    const rows = grid.length,
      columns = grid[0].length,
      top = Math.max(...grid.flat(), 1e-9);
    heat.width = columns;
    heat.height = rows;
    const context = heat.getContext("2d");
    const image = context.createImageData(columns, rows);
    grid.flat().forEach((weight, n) => image.data.set([10, 14, 20, Math.round(215 * (1 - weight / top))], 4 * n));
    context.putImageData(image, 0, 0);
  }

  ask();
}

function step(event) {
  const all = [...event.currentTarget.parentElement.querySelectorAll(".token")];
  const to = all.indexOf(event.currentTarget) + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? NaN);
  if (!all[to]) return;
  event.preventDefault();
  event.currentTarget.tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus();
}
