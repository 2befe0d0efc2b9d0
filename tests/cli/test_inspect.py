"""`unrolled inspect`, `compare` and `lab`: what they write, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .running import complaint, unrolled

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def report(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report of a model on a sentence, and what the command said."""
    out = tmp_path_factory.mktemp("inspect") / "report.html"
    result = unrolled("inspect", model, "Thank you for your help.", "--out", out, "--search", "you", "--threads", 1)
    assert result.code == 0, result.err
    return out, result.out


def test_the_report_is_one_file_that_needs_no_network(report: tuple[Path, str]) -> None:
    path, said = report
    page = path.read_text("utf-8")
    assert "hidden.l0: " in said
    assert f"written: {path}" in said
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page)
    assert "http" not in page.replace("http://www.w3.org", "")
    for section in ("unfolding", "gates", "saturation", "activations", "gradients", "jacobians", "mattered", "units"):
        assert f'<section id="{section}">' in page
        after = page.split(f'<section id="{section}">')[1]
        assert re.match(r"<h2>[^<]+</h2><p>[^<]{20,}</p>", after), f"{section} has no sentence"
    data = json.loads(re.search(r'id="unfolded">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert "".join(data["steps"]) == "Thank you for your help"
    assert "".join(data["outputs"]) == "hank you for your help."
    assert len(data["layers"][0]["values"]["h"]) == len(data["steps"])


def test_text_that_looks_like_html_stays_text(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    assert unrolled("inspect", model, "</script><script>alert(1)</script>", "--out", out).code == 0
    assert "<script>alert" not in out.read_text("utf-8")


def test_json_has_the_arrays(model: Path) -> None:
    [found] = unrolled("inspect", model, "Thank you", "--json").json
    assert {"unfolding", "gradients", "gates", "attributions", "connectivity"} <= set(found)
    assert found["attributions"][0]["method"] == "integrated gradients"


def test_a_long_input_is_looked_at_from_its_end(model: Path, tmp_path: Path) -> None:
    text = "Thank you for your help with the report. " * 3
    result = unrolled("inspect", model, text, "--limit", 20, "--out", tmp_path / "x.html")
    assert result.out.splitlines()[0] == f"the first {len(text) - 21} tokens were read and are not shown"


def test_remedies_are_tried_on_the_data_of_the_run(model: Path) -> None:
    result = unrolled("inspect", model, "--try", "--steps", 10, "--threads", 1)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("as it is: loss ")
    assert any(line.startswith("orthogonal initialisation: loss ") for line in lines)
    assert all("largest gradient" in line and "hidden.l0" in line for line in lines)


def test_tries_are_refused_before_anything_else_is_done(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.inspection import remedies

    ran: list[str] = []
    monkeypatch.setattr(remedies.Tries, "run", lambda self, progress=None: ran.append("tried") or [])
    out = tmp_path / "x.html"
    assert "steps: expected at least 10" in complaint(
        unrolled("inspect", model, "Thank you", "--try", "--steps", 3, "--out", out)
    )
    assert not out.exists()
    # an input that can't be looked at is refused before the tries, which take the longest
    assert "at least 2 tokens" in complaint(unrolled("inspect", model, "a", "--try", "--out", out))
    assert ran == []
    assert unrolled("inspect", model, "Thank you", "--try", "--out", out).code == 0
    assert ran == ["tried"]


def test_bad_input_is_one_line(model: Path, tmp_path: Path) -> None:
    assert "to inspect" in complaint(unrolled("inspect", model))
    assert "at least 2 tokens" in complaint(unrolled("inspect", model, "a"))
    assert "at: the output has 8 steps, found 9" in complaint(unrolled("inspect", model, "Thank you", "--at", 9))
    assert "not a regular expression" in complaint(
        unrolled("inspect", model, "Thank you", "--search", "(", "--out", tmp_path / "x.html")
    )
    assert "limit: expected at least 1" in complaint(unrolled("inspect", model, "Thank you", "--limit", 0))


def test_models_side_by_side(model: Path, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "curves.png"
    result = unrolled("compare", model, model, "--input", "Thank you", "--data", text, "--out", out, "--threads", 1)
    assert result.code == 0, result.err
    rows = {line.split("  ")[0]: line for line in result.out.splitlines()}
    assert {"model", "task", "parameters", "dev loss", "a prediction", "data loss"} <= set(rows)
    assert rows["task"].split() == ["task", "generate", "generate"]
    assert out.is_file()
    assert out.with_suffix(".svg").is_file()
    found = unrolled("compare", model, "--json").json
    assert found[0]["curve"]
    assert found[0]["speed"] is None


def test_the_lab_of_memory_is_bounded_and_drawn(tmp_path: Path) -> None:
    result = unrolled(
        "lab", "memory", "--length", 8, "--minutes", 0.03, "--only", "GRU", "--hidden-size", 8, "--out", tmp_path
    )
    assert result.code == 0, result.err
    assert result.out.startswith("adding, 8 steps: mean squared error; 0.1667 without memory\nGRU ")
    assert re.search(r"(time is up|steps are used up|solved) at step \d+; ", result.out)
    assert (tmp_path / "memory-adding-8.png").is_file()
    assert "there is no 'Elman'" in complaint(unrolled("lab", "memory", "--only", "Elman"))
    assert "lr: expected a number above 0" in complaint(unrolled("lab", "memory", "--lr", 0))
    assert "seed: expected 0 to" in complaint(unrolled("lab", "gradients", "--seed", -1))
    assert "problem: expected one of" in complaint(unrolled("lab", "memory", "--problem", "x"))


def test_the_lab_of_gradients(tmp_path: Path) -> None:
    result = unrolled("lab", "gradients", "--length", 60, "--steps", 5, "--out", tmp_path, "--json")
    assert result.code == 0, result.err
    [found] = result.json
    kinds = {verdict["layer"]: verdict["kind"] for verdict in found["verdicts"]}
    assert kinds["RNN, radius 0.5"] == "vanishing"
    assert kinds["RNN, radius 1"] == "healthy"
    assert (tmp_path / "gradients.svg").is_file()
    assert "length: expected at least 5" in complaint(unrolled("lab", "gradients", "--length", 2))
