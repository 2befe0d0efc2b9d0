/**
 * Outputs: what a model answers. A module is found by the `view` of a model, and exports a class
 *
 *     new Output({id, model, kept, note, api, input, ask})
 *
 *     input     the input beside it; see inputs/index.js
 *     ask       to be called when it wants to be answered anew, e.g. with other options
 *
 * with
 *
 *     root, hint                 its element, and a sentence on how to read it
 *     draw(predictions, value)   show what the model says of a value
 *     clear()                    show nothing: there is another input, or it can't be read
 *
 * and, where it has them, `options` (of predict), `inputs(value)` (the inputs of one request; the value by default),
 * `pushed(answer, value, isCurrent)` (an answer of a stream; `isCurrent` if the input has not changed since), `push()`
 * (what a stream is told, if not what the input says), `facts()` (rows for the details), `lines(value)` (of a program).
 */

import { GenericOutput } from "./generic.js";
import { LabelOutput } from "./label.js";
import { LabelsOutput } from "./labels.js";
import { NextOutput } from "./next.js";
import { NumbersOutput } from "./numbers.js";
import { TextOutput } from "./text.js";
import { TranscriptOutput } from "./transcript.js";
import { ValuesOutput } from "./values.js";

/** By view; a model that names none of them is shown as it answers. */
const OUTPUTS = {
  label: LabelOutput,
  labels: LabelsOutput,
  next: NextOutput,
  numbers: NumbersOutput,
  text: TextOutput,
  transcript: TranscriptOutput,
  values: ValuesOutput,
};

/** The class of a model's output. */
export const outputFor = ({ view }) => (Object.hasOwn(OUTPUTS, view) ? OUTPUTS[view] : GenericOutput);
