"""Run exported models with ONNX Runtime: states carried from call to call, and outputs decoded.

This file needs numpy and onnxruntime alone, and nothing of the package it lies in: copy it and change it.
T time, B batch, K classes.

    model = OnnxModel("my-model.onnx")
    outputs, state = model(x=tokens)            # a batch, or its first chunk; outputs["logits"] is (T, B, K)
    outputs, state = model(state, x=more)       # the next chunk
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Arrays = dict[str, Any]
Choice = Callable[[Any], Any]
DTYPES = {"tensor(int64)": "int64", "tensor(bool)": "bool", "tensor(double)": "float64", "tensor(float)": "float32"}


class OnnxModel:
    """A model: one file, or one that reads and beside it one that writes, `NAME.decoder.onnx`."""

    def __init__(self, path: str | Path) -> None:
        self.session = onnxruntime.InferenceSession(str(path))
        self.inputs = {value.name: (value.shape, DTYPES[value.type]) for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]
        #: what belongs to the model, texts by the names of their files: labels.json, tokenizer.json …
        self.files: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        beside = Path(path).with_suffix(".decoder.onnx")
        self.decoder = OnnxModel(beside) if beside.exists() else None

    def __call__(self, state: Mapping[str, Any] | None = None, /, **inputs: Any) -> tuple[Arrays, Arrays]:
        """Return the outputs, and the state to go on with; None begins. `lengths` may be left out."""
        feeds = {name: np.asarray(value, self.inputs[name][1]) for name, value in inputs.items() if name in self.inputs}
        sizes: dict[Any, int] = {}
        for name, value in feeds.items():
            sizes.update(zip(self.inputs[name][0], value.shape, strict=True))
        if "lengths" in self.inputs and "lengths" not in feeds:
            feeds["lengths"] = np.full(sizes["batch"], sizes["time"])
        feeds.update(self.start(sizes["batch"]) if state is None else state)
        results = dict(zip(self.outputs, self.session.run(None, feeds), strict=True))
        return results, {f"{name[:-4]}_in": value for name, value in results.items() if name.endswith("_out")}

    def start(self, batch: int) -> Arrays:
        """Return the state before the first step: zeros, or what the model has learned to begin with."""
        blank = {}
        for name, (shape, dtype) in self.inputs.items():
            blank[name] = np.zeros([batch if n == "batch" else n if isinstance(n, int) else 1 for n in shape], dtype)
        state = {name: value for name, value in blank.items() if name.endswith("_in")}
        if learned := [name for name in self.outputs if name.endswith("_start")]:
            for name, value in zip(learned, self.session.run(learned, blank), strict=True):
                state[f"{name[:-6]}_in"] = np.repeat(value, batch, axis=1)
        return state


def generate(model: OnnxModel, tokens: list[int], count: int, choose: Choice = np.argmax) -> list[int]:
    """Return `count` tokens that a language model writes after others; `choose` picks each by its logits (K,)."""
    (outputs, state), written = model(x=np.array(tokens)[:, None]), []
    for _ in range(count):
        written.append(int(choose(outputs["logits"][-1, 0])))
        outputs, state = model(state, x=[[written[-1]]])
    return written


def write(model: OnnxModel, decoder: OnnxModel, limit: int = 200, end: int = 0, **inputs: Any) -> list[list[int]]:
    """Return what a model with a decoder writes about each of its inputs, always the likeliest token next."""
    memory, state = model(**inputs)
    tokens, rows = np.full(len(memory["memory"]), end), np.empty((0, len(memory["memory"])), int)
    while len(rows) < limit and not (rows == end).any(0).all():
        outputs, state = decoder(state, x=tokens, **memory)
        tokens = outputs["logits"].argmax(-1)
        rows = np.concatenate([rows, tokens[None]])
    return [text[: text.index(end)] if end in text else text for text in rows.T.tolist()]


def collapse(logits: Any, blank: int = 0) -> list[int]:
    """Return what the logits (T, K) of a recogniser spell (CTC): each step's likeliest, repeats and blanks left out."""
    best = logits.argmax(-1).tolist()
    return [k for before, k in zip([blank, *best], best, strict=False) if k not in (blank, before)]


def viterbi(logits: Any, transitions: Any, begins: Any, ends: Any) -> list[int]:
    """Return the likeliest labels in a row of a tagger with a CRF: logits (T, K), and its scores between labels."""
    best, back = logits[0] + begins, []
    for step in logits[1:]:
        scores = best[:, None] + transitions
        back.append(scores.argmax(0))
        best = scores.max(0) + step
    path = [int((best + ends).argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]
