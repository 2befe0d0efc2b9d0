/** Recognize: which class an image is of; drop one, or draw. */

import { base64, h, later, onlyLast } from "../dom.js";
import { drawing } from "../drawing.js";
import { predictFile, programs } from "../programs.js";
import { bars, dropZone, modelBar, notice, verdict } from "../widgets.js";

export const view = "recognize";
export const title = "Recognize";

const IMAGES = "image/png,image/jpeg,image/gif,image/bmp,image/webp";
const ROWS = 10;

export function mount(root, models, api) {
  const note = notice(view);
  const lines = programs(view);
  const bar = modelBar(view, models, { hint: "Draw in the square, or drop an image.", chosen: () => ask() });
  const pad = drawing({ id: "recognize-pad", label: "Draw here", changed: () => look() });
  const zone = dropZone({
    view,
    accept: IMAGES,
    title: "or choose an image",
    hint: "PNG, JPEG, GIF, BMP or WebP",
    taken,
  });
  const label = verdict("recognize-label");
  const shares = bars("recognize-shares", "Probability of each class");
  const predict = onlyLast((signal, image) => api.predict(bar.model.name, [{ image }], {}, signal));
  let image = null,
    name = "drawing.png",
    type = "image/png";

  root.append(
    bar.root,
    h(
      "div",
      { class: "pair drawn" },
      h("div", { class: "stack" }, pad.root, zone.root),
      h("div", {}, h("h2", {}, "It is"), label.root, shares.root, note.root),
    ),
    lines.root,
  );

  const look = later(async () => {
    image = pad.isEmpty ? null : await pad.png();
    [name, type] = ["drawing.png", "image/png"];
    ask();
  }, 60);

  function taken(file) {
    pad.show(file);
    zone.name(file.name);
    image = file;
    [name, type] = [file.name, file.type || "image/png"];
    ask();
  }

  async function ask() {
    lines.draw(predictFile(api, bar.model, { name, type }));
    if (!image) {
      label.say(null);
      return shares.draw([]);
    }
    try {
      const [one] = await predict(await base64(image));
      label.say(one.label, one.probability);
      const known = Object.entries(one.probabilities);
      const shown =
        known.length > ROWS
          ? known.slice(0, ROWS)
          : known.toSorted(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
      shares.draw(shown.map(([of, share]) => ({ label: of, share })));
      note.clear();
    } catch (error) {
      note.problem(error);
    }
  }

  ask();
}
