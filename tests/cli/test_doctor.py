"""`unrolled doctor` tells what is, whatever is missing."""

from __future__ import annotations

import pytest

from unrolled.cells.catalog import variants
from unrolled.cli import doctor

from .running import unrolled


def test_json_names_engines_cells_libraries_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", "/somewhere")
    [found] = unrolled("doctor", "--json").json
    assert [engine["name"] for engine in found["engines"]][-2:] == ["torch", "scan"]
    assert len(found["cells"]) == len(list(variants()))
    assert all(cell["engine"] and cell["reason"] for cell in found["cells"])
    assert found["variables"]["UNROLLED_CACHE"] == "/somewhere"
    assert found["cpu"]["threads"] >= 1


def test_a_forced_engine_shows_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_ENGINE", "scan")
    result = unrolled("doctor")
    assert result.code == 0
    assert "forced by UNROLLED_ENGINE" in result.out
    assert "UNROLLED_ENGINE=scan" in result.out


def test_an_engine_that_can_not_serve_a_cell_is_said_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_ENGINE", "torch")
    found = {cell["cell"]: cell for cell in unrolled("doctor", "--json").json[0]["cells"]}
    assert found["lstm"]["engine"] == "torch"
    assert found["lstm layer_norm=True"]["engine"] is None
    assert "no operator" in found["lstm layer_norm=True"]["reason"]


def test_a_missing_library_is_shown_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["torch>=2.4", 'no-such-thing>=3.8; extra == "plot"', 'unrolled[plot]; extra == "all"', 'x; extra == "dev"']
    monkeypatch.setattr(doctor, "requirements", lambda: texts)
    core, missing = doctor.libraries()
    assert core["name"] == "torch"
    assert core["version"]
    assert missing == {"name": "no-such-thing", "extra": "plot", "version": None}
    assert "pip install 'unrolled[plot]'" in unrolled("doctor").out


def test_off_linux_nothing_is_read_from_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    assert doctor.memory() == {}
    assert doctor.cpu_flags() == []
    assert doctor.cpu_name()
