"""Every example in examples/ runs and says what it promises; notebooks in a Jupyter kernel."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SAYS = {
    "drop_in.py": "beyond its length a sequence's output is 0.0",
    "own_network.py": "the larger sum is found well",
    "own_cell.py": "output (3, 20, 32), h_n (4, 3, 16)",
    "streaming.py": "after 'the cat sat on the m': 'at",
}
#: what the last cell of a notebook shows, and as what
SHOWS = {
    "look_inside.ipynb": ("text/html", "<iframe srcdoc="),
    "replace_lstm.ipynb": ("text/plain", "(lstm): LSTM(LSTMCell("),
    "stream_sensors.ipynb": ("text/plain", " bytes'"),
    "your_mail.ipynb": ("text/plain", "{'model': 0."),
}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == set(SHOWS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert SAYS[name] in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHOWS))
def test_notebook(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "outputs are left out"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # nothing of whoever runs the test, such as a kernel or a profile of theirs
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    client = nbclient.NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    kind, shown = SHOWS[name]
    data = [output.data for output in code[-1].outputs if output.output_type == "execute_result"]
    assert shown in data[-1][kind]
    assert not [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]
