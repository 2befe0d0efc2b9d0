"""Put questions to a model that are written down as JSON, and get its answers as JSON.

`expected.json` of a stored model holds the questions and the answers that the model gave when it was made:

    predictions   each: `inputs` and `options` of `Model.predict`, and `answers`
    stream        `calls` of a session, each with its `answer`; `state`, saved after the first `saved_after` of them
    evaluation    `files` and `options` of `Model.evaluate`, `metrics` and `baseline`

An array among the inputs is written as {"form": name, "with": arguments} of `forms`, and some steps of it with
{"steps": [begin, end]} besides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unrolled import Model

from .forms import FORMS

#: of a machine or of a library's version, not of the model
VARYING = ("p50_seconds", "p90_seconds", "real_time", "signatures")
DIGITS, TOLERANCE = 7, 1e-5
#: values that the answer itself rounds to four digits, where the last bit of a float may decide about the last digit
COARSE = {"attention": 1.5e-4}


def realised(value: Any) -> Any:
    """Return a value read from JSON with its forms made into arrays."""
    if isinstance(value, dict) and "form" in value:
        whole = FORMS[value["form"]](*value["with"])
        return whole[slice(*value["steps"])] if "steps" in value else whole
    if isinstance(value, dict):
        return {key: realised(inner) for key, inner in value.items()}
    return [realised(inner) for inner in value] if isinstance(value, list) else value


def as_json(value: Any) -> Any:
    """Return what a model answered as JSON has it, floats rounded to `DIGITS`."""
    if hasattr(value, "as_json"):
        return as_json(value.as_json())
    if isinstance(value, float):
        return round(value, DIGITS)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items() if key not in VARYING}
    if isinstance(value, Iterator):
        return "".join(value)
    if isinstance(value, Iterable):
        return [as_json(inner) for inner in value]
    raise TypeError(f"no JSON: {type(value).__name__}")


def predict(model: Model, question: Mapping[str, Any]) -> Any:
    """Return the answers of `Model.predict`."""
    return as_json(model.predict(realised(question["inputs"]), **question["options"]))


def call(session: Any, question: Mapping[str, Any]) -> Any:
    """Call a session's method, or read its property, and return its answer; None where that is the session itself."""
    member = getattr(session, question["name"])
    if not callable(member):
        return as_json(member)
    answer = member(*realised(question.get("args", [])), **realised(question.get("options", {})))
    return None if answer is session else as_json(answer)


def evaluate(model: Model, question: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the metrics of a model and of its baseline on files of a folder.

    Of the options, `images` names a file or folder of that folder.
    """
    options = {key: str(folder / value) if key == "images" else value for key, value in question["options"].items()}
    outcome = model.evaluate(*(folder / name for name in question["files"]), **options)
    return {"metrics": as_json(outcome.metrics), "baseline": as_json(outcome.baseline)}


def differences(answer: Any, expected: Any, where: str = "answer", tolerance: float = TOLERANCE) -> list[str]:
    """Return where two JSON values differ: floats by more than a tolerance, relative or absolute, all else at all."""
    if isinstance(expected, float) and isinstance(answer, float):
        is_same = math.isclose(answer, expected, rel_tol=TOLERANCE, abs_tol=tolerance)
        is_same = is_same or (math.isnan(answer) and math.isnan(expected))
    elif isinstance(expected, dict) and isinstance(answer, dict) and answer.keys() == expected.keys():
        keys = [(key, COARSE.get(key, tolerance)) for key in expected]
        return [line for key, t in keys for line in differences(answer[key], expected[key], f"{where}.{key}", t)]
    elif isinstance(expected, list) and isinstance(answer, list) and len(answer) == len(expected):
        pairs = enumerate(zip(answer, expected, strict=True))
        return [line for n, (a, e) in pairs for line in differences(a, e, f"{where}[{n}]", tolerance)]
    else:
        is_same = type(answer) is type(expected) and answer == expected
    return [] if is_same else [f"{where}: {answer!r}, expected {expected!r}"]
