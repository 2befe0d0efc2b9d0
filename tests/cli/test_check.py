"""`unrolled data check`: findings one a line, an exit code that scripts can use."""

from __future__ import annotations

from pathlib import Path

from .running import complaint, unrolled


def lines(path: Path, *texts: str) -> Path:
    path.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts), encoding="utf-8")
    return path


def test_warnings_name_the_place_and_leave_the_exit_code_at_0(tmp_path: Path) -> None:
    train = lines(tmp_path / "train.jsonl", "one", "two", "one")
    dev = lines(tmp_path / "dev.jsonl", "two", "th---ree")
    result = unrolled("data", "check", "generate", train, "--dev", dev)
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        f"{train}:3: warning: the same document as {train}:1",
        f"{dev}:1: warning: also in the training data ({train}:2): what is measured on it is too good",
        "warning: the character '-' stands in it 3 times, and never in the training text",
        "0 errors, 3 warnings (train_documents 3, train_characters 9, dev_documents 2, dev_characters 11)",
    ]


def test_what_can_not_be_used_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "one"}\n{"text": \n', encoding="utf-8")
    result = unrolled("data", "check", "generate", path, "--json")
    assert result.code == 2
    [found] = result.json
    assert found["severity"] == "error"
    assert (found["path"], found["line"]) == (str(path), 2)
    assert found["message"].startswith("not valid JSON")


def test_a_missing_file_and_a_task_that_is_none_are_one_line(tmp_path: Path) -> None:
    assert complaint(unrolled("data", "check", "generate", tmp_path / "no")).endswith("no such file or folder")
    assert "there is none of that name" in complaint(unrolled("data", "check", "nothing", tmp_path))


def test_how_a_table_is_read_in_three_lines_and_equal_findings_together(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    rows = "".join(f"text {n},a,b\n" for n in range(8))
    path.write_text("text;label\n" + "".join(f"text {n};{'ab'[n % 2]}\n" for n in range(12)) + rows)
    result = unrolled("data", "check", "classify", path)
    assert result.code == 2
    message = "error: 1 cell instead of 2; the columns are 'text', 'label'"
    assert result.out.splitlines() == [
        f"{path}: columns text, label (a semicolon between)",
        "  kinds  text, label",
        "  first  text 0 | a",
        *(f"{path}:{line}: {message}" for line in (14, 15, 16)),
        "… and 5 more errors like it: lines 17, 18, 19, …",
        "8 errors, 0 warnings (train 12, dev 0)",
    ]
    assert [item["line"] for item in unrolled("data", "check", "classify", path, "--json").json] == list(range(14, 22))


def test_data_that_train_refuses_as_a_whole_is_an_error(tmp_path: Path) -> None:
    train, dev = tmp_path / "train.csv", tmp_path / "dev.csv"
    train.write_text("text,label\n")
    result = unrolled("data", "check", "classify", train)
    assert result.code == 2
    assert result.out.splitlines()[3:] == [
        f"{train}: error: no example to learn from",
        "1 errors, 0 warnings (train 0, dev 0)",
    ]
    train.write_text("text,label\na,x\nb,x\n")
    dev.write_text("text,label\n")
    result = unrolled("data", "check", "classify", train)
    assert result.code == 2
    assert result.out.splitlines()[3:] == [
        f"{train}: error: all examples to learn from have one label, 'x'; at least 2 are needed to tell them apart",
        "1 errors, 0 warnings (train 2, dev 0)",
    ]
    train.write_text("text,label\n" + "".join(f"{label} {n},{label}\n" for n in range(5) for label in "xy"))
    result = unrolled("data", "check", "classify", train, "--dev", dev)
    assert result.code == 2
    assert result.out.splitlines()[6:] == [
        f"{dev}: error: no example to choose by",
        "1 errors, 0 warnings (train 10, dev 0)",
    ]
