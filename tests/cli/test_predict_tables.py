"""`unrolled predict` with tables: a row in, a row out, with the prediction beside it, for every task."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled import load
from unrolled.data.images.files import png
from unrolled.errors import DataError
from unrolled.tasks import Model

from .running import complaint, unrolled

STORED = Path(__file__).parents[1] / "models" / "v0.1"


def stored(name: str) -> Path:
    return STORED / name / "model"


def rows_of(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


TEXTS = ["a great film", "the story was dull", "", "- 5 stars", 'he said "no, never"']


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "text", "label"], *([n, text, "?"] for n, text in enumerate(TEXTS))])
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_rows_come_back_in_order_with_predictions_beside_them(reviews: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"scored.{suffix}"
    result = unrolled("predict", stored("classify"), "--file", reviews, "--out", out)
    assert (result.code, result.out) == (0, ""), result.err
    assert f"5 rows in {out}" in result.err
    if suffix == "jsonl":
        rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()]
    elif suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(out).to_pylist()
    else:
        rows = list(rows_of(out, "\t" if suffix == "tsv" else ","))
    expected = load(stored("classify")).predict(TEXTS)
    assert [row["text"] for row in rows] == TEXTS
    assert [(row["id"], row["label"]) for row in rows] == [(str(n), "?") for n in range(5)]
    assert [row["predicted_label"] for row in rows] == [prediction.label for prediction in expected]
    # side by side, the last bits of a product may differ
    found = [float(row["predicted_probability"]) for row in rows]
    assert found == pytest.approx([prediction.probability for prediction in expected], abs=1e-6)
    nested = rows[0]["predicted_probabilities"]
    assert set(nested if isinstance(nested, dict) else json.loads(nested)) == {"pos", "neg"}
    # its own output is a table like the first one
    again = unrolled("predict", stored("classify"), "--file", out, "--out", tmp_path / "again.csv")
    assert again.code == 0, again.err
    assert [row["predicted_label"] for row in rows_of(tmp_path / "again.csv")] == [p.label for p in expected]


def test_a_table_is_printed_line_by_line_without_out(reviews: Path) -> None:
    by_name, by_option = (unrolled("predict", stored("classify"), *given) for given in ([reviews], ["--file", reviews]))
    assert by_name.out == by_option.out
    assert len(by_name.out.splitlines()) == len(TEXTS)
    assert unrolled("predict", stored("classify"), reviews, "--json").json[3]["text"] == TEXTS[3]


def test_the_column_can_be_named_and_dialects_are_read(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes("n;was gefiel\n1;größer\n2;schöner, als\n".encode("cp1252"))
    command = ("predict", stored("classify"), "--file", path, "--encoding", "cp1252")
    refused = complaint(unrolled(*command))
    assert "which column holds the texts?" in refused
    assert refused.endswith("name it with --column")
    texts = [row["text"] for row in unrolled(*command, "--column", "was gefiel", "--json").json]
    assert texts == ["größer", "schöner, als"]
    bare = tmp_path / "bare.csv"
    bare.write_text("text of the first row|1\nof the second|2\n")
    told = unrolled(*command[:2], "--file", bare, "--delimiter", "|", "--no-header", "--column", "1", "--json").json
    assert [row["text"] for row in told] == ["text of the first row", "of the second"]


def test_an_error_names_file_and_line_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    wrong = write_rows(tmp_path / "wrong.jsonl", [{"text": "good"}, {"text": 5}])
    message = complaint(unrolled("predict", stored("classify"), "--file", wrong, "--out", out))
    assert message == f"{wrong}:2: input: expected text, found int"
    assert not list(tmp_path.glob("*out*"))
    assert ".csv, .tsv" in complaint(unrolled("predict", stored("classify"), "x", "--out", tmp_path / "out.xlsx"))
    two = complaint(unrolled("predict", stored("classify"), wrong, "text"))
    assert two == f"{wrong}: is a table; give it alone, or name it with --file"


def test_texts_that_begin_with_a_hyphen(tmp_path: Path) -> None:
    texts = ["-5 degrees", "- yes", "--", "-1"]
    found = unrolled("predict", stored("classify"), "--json", *texts[:2], "plain", "--", *texts[2:]).json
    assert [row["text"] for row in found] == ["-5 degrees", "- yes", "plain", "--", "-1"]
    assert "a text that begins with a hyphen stands behind --" in complaint(
        unrolled("predict", stored("classify"), "-x")
    )
    assert unrolled("predict", stored("classify"), "--json", "--", "-x").json[0]["text"] == "-x"


def test_lines_and_arguments_become_a_table_too(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert unrolled("predict", stored("classify"), "a great film", "--out", out).code == 0
    [row] = rows_of(out)
    assert (row["text"], row["predicted_label"]) == ("a great film", "pos")


def test_rows_in_memory_are_predicted_as_texts_are() -> None:
    model = load(stored("classify"))
    rows = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    expected = [prediction.label for prediction in model.predict(TEXTS)]
    pyarrow = pytest.importorskip("pyarrow")
    frame = pyarrow.Table.from_pylist(rows)

    class Stream:
        """A frame of a library that has Arrow's C stream and nothing else."""

        columns = ("id", "text")

        def __arrow_c_stream__(self, schema: Any = None) -> Any:
            return frame.__arrow_c_stream__(schema)

    for data in (rows, iter(rows), frame, Stream(), np.array(TEXTS), frame["text"]):
        assert [prediction.label for prediction in model.predict(data)] == expected
    assert model.predict(rows[0]).label == expected[0]
    with pytest.raises(DataError, match=r"rows:2: no column 'text'; this row has 'words'"):
        model.predict([{"text": "good"}, {"words": "bad"}])


def test_rows_from_an_iterator_are_answered_as_they_come() -> None:
    asked: list[int] = []

    def rows() -> Iterator[dict[str, str]]:
        for n, text in enumerate(TEXTS):
            asked.append(n)
            yield {"text": text}

    predictions = load(stored("classify")).predictions(rows())
    next(predictions)
    assert asked == [0]


def test_a_table_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "many.jsonl", [{"text": f"film {n}"} for n in range(300)])
    model = load(stored("classify"))
    read = 0
    given = model.input.given

    def counted(value: object) -> str:
        nonlocal read
        read += 1
        return given(value)

    model.input.given = counted  # type: ignore[method-assign]
    rows = model.predicted_rows(path)
    next(rows)
    assert read == model.input.side_by_side


def column(model: Model, data: object, name: str, out: Path, **options: Any) -> list[str]:
    """What was predicted for a table, by Python."""
    assert model.predict_table(data, out, **options) > 0
    return [row[f"predicted_{name}"] for row in rows_of(out)]


def test_translations_and_completions_beside_rows(tmp_path: Path) -> None:
    sentences = ["der rote Hund rennt.", "", "der Mann schläft."]
    model = load(stored("translate"))
    out = tmp_path / "out.csv"
    expected = [translation.text for translation in model.predict(sentences)]
    assert column(model, [{"source": text, "n": 1} for text in sentences], "text", out) == expected
    model = load(stored("generate-characters"))
    typed = ["Tea i", "See you at n"]
    assert len(column(model, [{"text": text} for text in typed], "suggestions", out, n=2)) == 2


def test_tags_beside_texts_and_beside_tokens(tmp_path: Path) -> None:
    model, out = load(stored("tag-labels")), tmp_path / "out.csv"
    expected = [list(tagging.labels) for tagging in model.predict(["the dogs sleep .", ["Ann", "runs"]])]
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "the dogs sleep ."}, {"text": "Ann runs"}])
    assert [json.loads(cell) for cell in column(model, rows, "labels", out)] == expected
    rows = write_rows(
        tmp_path / "tokens.jsonl", [{"tokens": ["the", "dogs", "sleep", "."]}, {"tokens": ["Ann", "runs"]}]
    )
    assert [json.loads(cell) for cell in column(model, rows, "labels", out)] == expected
    table = tmp_path / "tokens.csv"
    table.write_text("Sentence,Word\n1,the\n,dogs\n,sleep\n,.\n2,Ann\n,runs\n")
    assert column(model, table, "label", out) == [*expected[0], *expected[1]]


def test_images_by_path_by_pixels_and_in_an_npz(tmp_path: Path) -> None:
    model, out = load(stored("recognize-image")), tmp_path / "out.csv"
    with np.load(STORED / "recognize-image" / "data" / "dev.npz") as arrays:
        images, labels = arrays["images"], [str(label) for label in arrays["labels"]]
    expected = [prediction.label for prediction in model.predict(list(images))]
    assert expected == labels
    (tmp_path / "images").mkdir()
    for n, image in enumerate(images):
        (tmp_path / "images" / f"{n}.png").write_bytes(png(image if image.ndim == 3 else image[..., None]))
    listed = tmp_path / "list.csv"
    listed.write_text("id,path\n" + "".join(f"{n},images/{n}.png\n" for n in range(len(images))))
    assert column(model, listed, "label", out) == expected
    # without --out the list is a table too
    assert len(unrolled("predict", stored("recognize-image"), listed).out.splitlines()) == len(images)
    pixels = tmp_path / "pixels.csv"
    width = images[0].size
    head = ",".join(["label", *(f"p{n}" for n in range(width))])
    lines = [",".join(map(str, [label, *image.ravel()])) for label, image in zip(labels, images, strict=True)]
    pixels.write_text("\n".join([head, *lines]) + "\n")
    assert column(model, pixels, "label", out) == expected
    archive = tmp_path / "images.npz"
    np.savez(archive, images=images)
    found = unrolled("predict", stored("recognize-image"), archive, "--json").json
    assert [row["label"] for row in found] == expected
    lost = write_rows(tmp_path / "lost.jsonl", [{"image": "images/0.png"}, {"image": "nowhere.png"}])
    assert complaint(unrolled("predict", stored("recognize-image"), lost)).startswith(f"{lost}:2: ")


def test_captions_and_transcripts_beside_the_names_of_files(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    folder = STORED / "caption" / "data" / "dev-images"
    rows = [{"image": str(path)} for path in sorted(folder.iterdir())]
    model = load(stored("caption"))
    assert column(model, rows, "text", out) == [model.predict(row["image"]).text for row in rows]
    model, listed = load(stored("transcribe")), STORED / "transcribe" / "data" / "dev.jsonl"
    expected = [model.predict(listed.parent / f"dev{n}.wav").text for n in range(2)]
    assert column(model, listed, "text", out) == expected


def test_labels_beside_the_steps_of_recordings(tmp_path: Path) -> None:
    model, out = load(stored("label-features")), tmp_path / "out.csv"
    paths = sorted((STORED / "label-features" / "data" / "dev").glob("*.csv"))[:2]
    expected = [model.predict(path) for path in paths]
    assert column(model, paths[0], "label", out) == list(expected[0].labels)
    assert len(rows_of(out)) == len(rows_of(paths[0]))
    assert column(model, rows_of(paths[0]), "label", out) == list(expected[0].labels)


def test_forecasts_are_rows_after_those_of_the_table(tmp_path: Path) -> None:
    model, out = load(stored("forecast-direct")), tmp_path / "out.csv"
    table = STORED / "forecast-direct" / "data" / "all.csv"
    expected = model.predict(table)
    assert unrolled("predict", stored("forecast-direct"), table, "--out", out).code == 0
    rows = rows_of(out)
    assert [(row["time"], row["series"]) for row in rows] == [
        (time, forecast.heading()) for forecast in expected for time in forecast.times
    ]
    assert [float(row["forecast"]) for row in rows] == pytest.approx([v for f in expected for v in f.point], abs=1e-9)
    assert model.predict_table(rows_of(table), out) == len(rows)
