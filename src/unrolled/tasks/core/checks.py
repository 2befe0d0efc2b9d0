"""Faults that examples of every kind may have, and where an error about one is."""

from __future__ import annotations

from collections.abc import Sequence

from unrolled.data import Example, Findings
from unrolled.errors import DataError


def check_label(label: str, example: Example) -> None:
    """Check that a label, which may be the name of a folder, is text.

    Raises:
        DataError: it has bytes that are no UTF-8, and would come back changed from a file or a server.
    """
    try:
        label.encode()
    except UnicodeEncodeError as error:
        shown = label.encode("utf-8", "backslashreplace").decode()
        raise DataError(f"the label {shown!r} has bytes that are no UTF-8; rename its folder", example.path) from error


def check_common(train: Sequence[Example], dev: Sequence[Example], findings: Findings) -> None:
    """Warn of empty and duplicated examples, of inputs in both parts, and of labels that training never saw."""
    labelled = {label: example for example in (*dev, *train) for label in example.labels}
    for label, example in labelled.items():
        try:
            check_label(label, example)
        except DataError as error:
            findings.error("no text", str(error), example.path or None)
    seen: dict[str, Example] = {}
    for example in train:
        if example.is_empty:
            findings.warning("empty", "nothing in this example to read", example.path or None, example.line)
        elif (first := seen.setdefault(example.key, example)) is not example:
            where = f"{first.path}:{first.line}" if first.line else first.path
            unlike = "" if first.labels == example.labels else ", with another label"
            findings.warning("duplicate", f"the same input as {where}{unlike}", example.path or None, example.line)
    found: Example | None
    known = {label for example in train for label in example.labels}
    for example in dev:
        if example.is_empty:
            findings.warning("empty", "nothing in this example to read", example.path or None, example.line)
        elif (found := seen.get(example.key)) is not None:
            where = f"{found.path}:{found.line}" if found.line else found.path
            message = f"also in the training data ({where}): what is measured on it is too good"
            findings.warning("leak", message, example.path or None, example.line)
        for label in dict.fromkeys(example.labels):
            if label not in known:
                message = f"label {label!r} is not in the training data, and will never be predicted"
                findings.warning("unseen label", message, example.path or None, example.line)


def located(error: DataError, example: Example) -> DataError:
    """Return an error about an example that names the line of the list which it comes from, if there is such a list."""
    if example.line is None or (str(error.path), error.line) == (example.path, example.line):
        return error
    return type(error)(str(error), example.path, example.line)
