"""A network as a page of one file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template

from unrolled.export.html.compiler import check_compiler, compile_wasm
from unrolled.storage import write_whole

_HERE = Path(__file__).parent


def to_html(write_c: Callable[[Path], object], path: str | Path, *, title: str, labels: Sequence[str] = ()) -> Path:
    """Write a page that runs a model in the browser, with no server and nothing else to load.

    A language model completes what is typed; of any other the page is a form that takes the numbers of a step a line.

    Args:
        write_c: writes the model as C, weights beside, given the source's path, and raises what can't be written.
        path: the page, NAME.html.
        title: of the page.
        labels: names of the classes.

    Returns:
        The page.

    Raises:
        ArgumentError: as from `write_c`.
        MissingDependencyError: the package ziglang is not installed.
        StorageError: the page can't be written.
    """
    path = Path(path)
    path = path if path.suffix in (".html", ".htm") else path.with_name(path.name + ".html")
    check_compiler()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_c(folder / "model.c")
        shutil.copy(_HERE / "page.c", folder)
        code = compile_wasm(folder, ("page.c", "model.c"))
        weights = (folder / "model.bin").read_bytes()
        constants = dict(re.findall(r"#define MODEL_(\w+) (\S+)", (folder / "model.h").read_text("utf-8")))
    style = _read("page.css")
    script = _read("model.js") + _read("page.js")
    page = Template(_read("page.html")).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        # nothing in it can end the element that holds it
        facts=json.dumps(_facts(constants, labels)).replace("<", "\\u003c"),
        code=_base64(code),
        weights=_base64(weights),
        script=script,
        script_hash=_hash(script),
    )
    write_whole(path, page.encode())
    return path


def _facts(constants: Mapping[str, str], labels: Sequence[str]) -> dict[str, object]:
    """Return what the page knows of its model, by the constants of the header."""
    return {
        "typing": "TEXT" in constants,
        "series": "STATIC" in constants,
        "horizon": int(constants.get("HORIZON", 0)),
        "known": int(constants.get("KNOWN", 0)),
        "labels": list(labels),
        "hint": _hint(constants),
    }


def _hint(has: Mapping[str, str]) -> str:
    if "TEXT" in has:
        return "Type; Tab accepts the first suggestion"
    if "STATIC" in has:
        known = "" if has["KNOWN"] == "0" else f" and the {has['KNOWN']} numbers that are known of a step"
        if "HORIZON" not in has:
            return f"A step a line: its value, ? where it is not known{known.replace('a step', 'the step after it')}"
        ahead = "" if not known else f"; then {has['HORIZON']} lines of what is known of the steps to come"
        return f"A step a line, {has['CONTEXT']} at least: its value, ? where it is not known,{known}{ahead}"
    if "STRIDE" in has:
        return f"A step a line: {has['STRIDE']} frames of {has['FEATURES']} numbers, fewer at the end"
    if "FEATURES" in has:
        return f"A step a line: {has['FEATURES']} numbers"
    if "VOCABULARY" in has:
        return f"A step a line: a token, 0 to {int(has['VOCABULARY']) - 1}"
    return "A word a line: the numbers of the word, its vector, its pair, and its parts"


def _read(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
