"""Models as pages: what their WebAssembly makes of random streams, in Node, is what Python makes of them."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.test_c_text import TEXTS

from unrolled import load
from unrolled.errors import ArgumentError, MissingDependencyError, StorageError
from unrolled.export.html import compiler, to_html
from unrolled.export.models import export

STORED = Path(__file__).parents[1] / "models" / "v0.1"
SCRIPTS = Path(compiler.__file__).parent
NODE = shutil.which("node")

needs_both = pytest.mark.skipif(
    NODE is None or find_spec("ziglang") is None, reason="Node, or the package ziglang, is not installed"
)

#: runs a list of calls of `Model` and `Typed`, and writes what they return
DRIVER = """
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64"));
const results = [];
Model.make(bytes(given.code), bytes(given.weights)).then((model) => {
  const typed = new Typed(model), saved = {};
  const plain = (value) => (value instanceof Float32Array ? [...value] : value);
  for (const [name, ...values] of given.calls) {
    try {
      if (name === "become") results.push(plain(typed.become(...values)) ?? null);
      else if (name === "save") saved[values[0]] = model.save();
      else if (name === "load") { model.load(saved[values[0]]); results.push(null); }
      else if (name === "spoil") saved[values[0]][8] ^= 1;
      else results.push(plain(model[name](...values)) ?? null);
    } catch (error) {
      results.push({ error: error.message });
    }
  }
  process.stdout.write(JSON.stringify(results));
});
"""


def parts(page: Path) -> dict[str, str]:
    """The blocks of data in a page."""
    return dict(re.findall(r'<script type="[^"]*" id="(\w+)">(.*?)</script>', page.read_text("utf-8"), re.DOTALL))


def run(page: Path, calls: list[list[Any]]) -> list[Any]:
    held = parts(page)
    given = json.dumps({"code": held["code"], "weights": held["weights"], "calls": calls})
    script = (SCRIPTS / "model.js").read_text("utf-8") + DRIVER
    result = subprocess.run([str(NODE), "-e", script], input=given, capture_output=True, text=True, check=True)
    made: list[Any] = json.loads(result.stdout)
    return made


@pytest.fixture(scope="module")
def typing_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "typing.html"
    assert export(load(STORED / "generate-byte-pairs" / "model"), "html", page) == (page,)
    return page


@needs_both
def test_a_language_model_completes_what_is_typed(typing_page: Path) -> None:
    model, generator = load(STORED / "generate-byte-pairs" / "model"), np.random.default_rng(3)
    calls: list[list[Any]] = []
    typed = []
    for text in (*TEXTS, " ".join(TEXTS[:3]) * 3):
        # as people edit: prefixes of it, now longer, now shorter
        for end in (*generator.integers(1, len(text) + 1, 3).tolist(), len(text)):
            typed.append(text[:end])
            calls += [["become", text[:end]], ["logits"], ["complete"]]
    results = iter(run(typing_page, calls))
    seen = 0
    for text in typed:
        assert next(results) is None
        session = model.stream().push(text)
        np.testing.assert_allclose(next(results), session.logits[0].numpy(), rtol=1e-5, atol=1e-5)
        wanted, shown = session.suggest(3), next(results)["suggestions"]
        assert [(s["text"], s["words"]) for s in shown] == [(s.text, s.words) for s in wanted]
        np.testing.assert_allclose([s["score"] for s in shown], [s.score for s in wanted], atol=1e-4)
        seen += len(shown)
    assert seen > 20


@needs_both
def test_states_are_bound_to_their_model(typing_page: Path) -> None:
    calls = [["become", "Thank"], ["save", "a"], ["logits"], ["become", "Other words"], ["load", "a"], ["logits"]]
    results = run(typing_page, [*calls, ["spoil", "a"], ["load", "a"], ["logits"]])
    assert results[1] == results[4]
    assert results[5] == {"error": "this state belongs to another model"}
    assert results[6] == results[4]


@needs_both
def test_rows_of_numbers(tmp_path: Path) -> None:
    model = load(STORED / "label-features" / "model")
    page = tmp_path / "label"
    (written,) = export(model, "html", page)
    assert written == tmp_path / "label.html"
    facts = json.loads(parts(written)["facts"])
    assert facts["labels"] == list(model.output.labels)
    features = int(facts["hint"].split()[-2])
    x = torch.randn(9, features)
    calls: list[list[Any]] = [["step", row.tolist()] for row in x]
    results = run(written, [*calls, ["probabilities"], ["step", [1.0] * (features + 1)], ["step", []]])
    with torch.no_grad():
        for count in (1, 4, 9):
            logits = model.network.eval()(x[:count].unsqueeze(1))
            logits = logits[0] if isinstance(logits, tuple) else logits
            expected = logits[-1, 0] if logits.dim() == 3 else logits[0]
            np.testing.assert_allclose(results[count - 1], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(results[9], torch.softmax(expected, 0), rtol=1e-4, atol=1e-6)
    wrong = {"error": "a number is out of range, or there are too many or too few of them"}
    assert results[10:] == [wrong, wrong]


def test_the_compiler_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"export --to html needs ziglang.*unrolled\[wasm\]"):
        to_html(lambda source: pytest.fail("too early"), tmp_path / "page.html", title="x")


def test_a_model_without_c_has_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: "here")
    with pytest.raises(ArgumentError, match="a C export has no attention"):
        export(load(STORED / "translate" / "model"), "html", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "error: out of cheese\n")
    monkeypatch.setattr(compiler.subprocess, "run", lambda *given, **options: failed)
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: "here")
    with pytest.raises(StorageError, match="the compiler of ziglang failed: error: out of cheese"):
        compiler.compile_wasm(tmp_path, ("page.c",))


def test_titles_and_labels_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(source: Path) -> None:
        source.with_suffix(".bin").write_bytes(b"weights")
        source.with_suffix(".h").write_text("#define MODEL_FEATURES 3\n")

    monkeypatch.setattr("unrolled.export.html.file.compile_wasm", lambda folder, sources: b"code")
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: "here")
    page = to_html(write, tmp_path / "x", title="<b>&", labels=["</script><b>"])
    assert "<b>" not in page.read_text("utf-8")
    held = parts(page)
    assert base64.b64decode(held["code"]) == b"code"
    assert json.loads(held["facts"])["labels"] == ["</script><b>"]
