/**
 * Inputs: what a person gives a model. A module is found by the `widget` of a model, and exports a class
 *
 *     new Input({id, model, kept, note, changed, connect, pushed})
 *
 *     id        what its ids begin with
 *     kept      the tab's memory
 *     note      the tab's notice
 *     changed   to be called when the value is another: changed(isNew), `isNew` if it has nothing to do with the last
 *     connect   opens a stream: connect(options) of server streams, or null where the model has none
 *     pushed    to be called with an answer to what was pushed by the input itself
 *
 * with
 *
 *     static reads(example)   whether it can give what an example of the model looks like
 *     root, hint              its element, and a sentence on how to use it
 *     value                   what the API takes, or null
 *     file                    {name, type} of the value as a file, for the lines of a program; null for JSON
 *     show(value)             show an input of the API, e.g. an example
 *     clear()
 *
 * and, where it has them, `mark(steps, rate)` (show what is said of each step: {start, end, label, name, hue,
 * strength, score}; `tag` is what stands in a marked word, `class` how it looks there), `push()` (what a stream is told
 * of the value), `editor` (a text field), `look(weights)` (where a network looked), `seek(step)`, `play(seconds)`,
 * `pointed` (to be set: called with the step that is pointed at) and `stop()`, when its tab is left.
 */

import { FramesInput } from "./frames.js";
import { ImageInput } from "./image.js";
import { JsonInput } from "./json.js";
import { SeriesInput } from "./series.js";
import { SoundInput } from "./sound.js";
import { TextInput } from "./text.js";

/** By widget. A model that names none of them, or reads what its widget can't give, gets a field for JSON. */
const INPUTS = {
  text: TextInput,
  words: TextInput,
  image: ImageInput,
  frames: FramesInput,
  sound: SoundInput,
  series: SeriesInput,
};

/** The class of a model's input. */
export function inputFor({ widget, example }) {
  const Input = Object.hasOwn(INPUTS, widget) ? INPUTS[widget] : JsonInput;
  return Input.reads(example.inputs[0]) ? Input : JsonInput;
}
