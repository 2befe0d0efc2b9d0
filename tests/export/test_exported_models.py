"""Stored models of every task as ONNX files: what ONNX Runtime makes of random ragged batches, whole and in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from unrolled import load
from unrolled.errors import ArgumentError
from unrolled.export import to_onnx
from unrolled.export.models import export
from unrolled.export.onnx.driver import OnnxModel
from unrolled.export.onnx.writing.encoders import item_shape
from unrolled.layers import (
    GRU,
    LSTM,
    RNN,
    Embedding,
    ForecastLoss,
    Frames,
    ImageEncoder,
    ImageSteps,
    LinearOutput,
    NegativeBinomial,
    Spelling,
    StackedFrames,
    WordBatch,
    Words,
    make_attention,
    make_pooling,
)
from unrolled.layers.inputs.clips import StepEncoder
from unrolled.layers.inputs.texts import TextBatch, TextInputs, WordVotes
from unrolled.networks import (
    AttentionDecoder,
    AutoregressiveForecaster,
    DirectForecaster,
    FeedForward,
    ManyToManyNetwork,
    ManyToOneNetwork,
    OneToManyNetwork,
    OneToOneNetwork,
    SyncedNetwork,
    TaggingNetwork,
)

STORED = Path(__file__).parents[1] / "models" / "v0.1"
MODELS = sorted(path.name for path in STORED.iterdir() if path.name != "generate-personal")
LENGTHS = ([6, 1, 9], [3], [9, 9])


class Exported:
    """A network, and the same as ONNX files."""

    def __init__(self, network: nn.Module, paths: Sequence[Path]) -> None:
        self.network: Any = network
        for path in paths:
            onnx.checker.check_model(path, full_check=True)
        self.onnx = OnnxModel(paths[0])


def close(actual: Any, expected: Tensor) -> None:
    np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=1e-5, atol=1e-5)


def whole_numbers(below: int, *shape: int) -> Tensor:
    return torch.randint(below, shape)


def random_inputs(layer: nn.Module, lengths: Sequence[int], votes: Any = None) -> Any:
    """Return what an input layer reads of a ragged batch; what pads floating-point numbers is NaN."""
    steps, batch = max(lengths), len(lengths)
    if isinstance(layer, Embedding):
        return whole_numbers(layer.vocabulary_size, steps, batch)
    if isinstance(layer, TextInputs):
        counts = whole_numbers(4, steps * batch)
        begins = torch.cat((torch.zeros(1, dtype=torch.int64), counts.cumsum(0)[:-1]))
        buckets = 1 if layer.parts is None else layer.parts.vocabulary_size
        pairs = 1 if votes is None or votes.pairs is None else len(votes.pairs)
        fixed = 1 if layer.vectors is None else len(layer.vectors)
        words = whole_numbers(layer.words.vocabulary_size, steps, batch)
        parts = whole_numbers(buckets, int(counts.sum()))
        return TextBatch(words, parts, begins, *(whole_numbers(n, steps, batch) for n in (fixed, pairs)))
    if isinstance(layer, Words):
        sizes = [1 if part is None else part.vocabulary_size for part in (layer.words, layer.shapes)]
        spelled = 5
        alphabet = 1 if layer.spelling is None else layer.spelling.embedding.vocabulary_size
        fixed = 1 if layer.vectors is None else len(layer.vectors)
        words, shapes, rows, spellings = (whole_numbers(n, steps, batch) for n in (*sizes, fixed, spelled))
        characters = whole_numbers(alphabet, 7, spelled)
        return WordBatch(words, shapes, rows, spellings, characters, torch.tensor([7, 1, 3, 2, 5]))
    if isinstance(layer, ImageSteps):
        x = torch.rand(steps, batch, layer.output_size) * 255
    elif isinstance(layer, StackedFrames):
        x = torch.randn(steps, batch, layer.stack.features)
    else:
        assert isinstance(layer, StepEncoder)
        *size, channels = (int(n) for n in item_shape(layer.encoder))
        x = torch.rand(steps, batch, *size, channels // (2 if layer.differences else 1)) * 255
    for row, length in enumerate(lengths):
        x[length:, row] = torch.nan
    return x


def feeds_of(x: Any) -> dict[str, Any]:
    parts = {"x": x} if isinstance(x, Tensor) else x._asdict()
    return {name: part.numpy() for name, part in parts.items()}


def chunk_of(x: Any, first: int, end: int) -> Any:
    """Return some steps of what an input layer reads."""
    if isinstance(x, Tensor):
        return x[first:end]
    if isinstance(x, WordBatch):
        steps = {name: getattr(x, name)[first:end] for name in ("words", "shapes", "vectors", "spellings")}
        return x._replace(**steps)
    batch = x.words.shape[1]
    begins = torch.cat((x.begins, torch.tensor([len(x.parts)])))
    low, high = begins[first * batch], begins[end * batch]
    steps = {name: getattr(x, name)[first:end] for name in ("words", "vectors", "pairs")}
    return x._replace(**steps, parts=x.parts[low:high], begins=x.begins[first * batch : end * batch] - low)


def chunks(lengths: Sequence[int], size: int) -> Iterator[tuple[int, int, Tensor]]:
    for first in range(0, max(lengths), size):
        end = min(first + size, max(lengths))
        yield first, end, (torch.tensor(lengths) - first).clamp(0, end - first)


def check_sequences(exported: Exported, lengths: Sequence[int]) -> None:
    network = exported.network
    x = random_inputs(network.inputs, lengths, getattr(network, "beside", None))
    results, _ = exported.onnx(**feeds_of(x), lengths=lengths)
    with torch.no_grad():
        expected = network(x, *([None] if isinstance(network, SyncedNetwork) else []), torch.tensor(lengths))
    logits = expected[0] if isinstance(expected, tuple) else expected
    shorten: Any = getattr(network.inputs, "output_lengths", lambda counts: counts)
    counts = shorten(torch.tensor(lengths)).tolist()
    if isinstance(network.inputs, StackedFrames):
        assert results["steps"].tolist() == counts
    if isinstance(expected, tuple):
        for row, count in enumerate(counts):
            close(results["logits"][:count, row], logits[:count, row])
        finals = expected[1] if isinstance(expected[1], tuple) else (expected[1],)
        for name, final in zip(network.hidden.cell.state_names, finals, strict=True):
            close(results[f"{name}_out"], final)
    else:
        close(results["logits"], logits)
    if network.hidden.bidirectional:
        return
    stride = network.inputs.stack.stride if isinstance(network.inputs, StackedFrames) else 1
    state, pieces = None, []
    for first, end, some in chunks(lengths, 2 * stride):
        part, state = exported.onnx(state, **feeds_of(chunk_of(x, first, end)), lengths=some)
        pieces.append(part["logits"])
    if isinstance(expected, tuple):
        whole = np.concatenate(pieces)
        for row, count in enumerate(counts):
            close(whole[:count, row], logits[:count, row])
    else:
        close(pieces[-1], logits)


def check_direct(exported: Exported) -> None:
    network = exported.network
    for count in (1, 4):
        batch = random_windows(network, count, network.context + network.horizon)
        batch["past"] = torch.randn(network.context, count)
        batch["past"][2, 0] = torch.nan
        batch["past"][:, -1] += 3
        results, _ = exported.onnx(**{name: tensor.numpy() for name, tensor in batch.items()})
        with torch.no_grad():
            expected = network(batch["past"], batch["known"], batch["channel"], batch["static"])
        close(results["forecast"], expected)


def random_windows(network: Any, count: int, steps: int) -> dict[str, Tensor]:
    if isinstance(network, DirectForecaster):
        known = network.inputs.features // network.segment - 1 - network.masked
    else:
        width = AutoregressiveForecaster.input_width(len(network.lags), 0, network.who.size, network.masked)
        known = network.hidden.input_size - width
    static = 0 if network.who.described is None else network.who.described.in_features
    own = 0 if network.who.own is None else len(network.who.own)
    channel = torch.arange(count) % (own + 1) - 1
    return {"known": torch.randn(steps, count, known), "channel": channel, "static": torch.randn(count, static)}


def check_autoregressive(exported: Exported) -> None:
    network, count = exported.network, 3
    batch = random_windows(network, count, network.context)
    values = torch.randn(network.reach, count)
    values[-3, 0] = torch.nan
    shift, scale = network.scale(values)
    whose = network.who(batch["channel"], batch["static"])
    read = network.reading(values, batch["known"], whose, (shift, scale))
    with torch.no_grad():
        h, _ = network.hidden(read)
        expected = network.output(h)
    same = {"shift": shift.numpy(), "scale": scale.numpy()}
    same |= {name: batch[name].numpy() for name in ("channel", "static")}
    oldest = max((1, *network.lags))
    first = network.reach - network.context - oldest
    for step in (network.context, 3):
        state, pieces = None, list[Any]()
        for begin in range(0, network.context, step):
            end = min(begin + step, network.context)
            # the values of these steps, and those before them that lags reach back to
            window = values[max(0, first + begin + 1) : first + oldest + end]
            part, state = exported.onnx(state, values=window, known=batch["known"][begin:end], **same)
            pieces.append(part["parameters"])
        close(np.concatenate(pieces), expected)


def check_writer(exported: Exported) -> None:
    network, lengths = exported.network, [5, 1, 4]
    if isinstance(network, OneToManyNetwork):
        *size, last = item_shape(network.inputs)
        x = torch.rand(len(lengths), *([17, 22] if size else [6]), int(last)) * 255
        memory, state = exported.onnx(x=x.numpy())
        with torch.no_grad():
            expected, attributes = network.encode(x)
        if attributes is not None:
            close(memory["attributes"], attributes)
    else:
        x = random_inputs(network.source, lengths)
        memory, state = exported.onnx(x=x.numpy(), lengths=lengths)
        with torch.no_grad():
            expected = network.encode(x, torch.tensor(lengths))
    tokens = whole_numbers(network.vocabulary_size, 4, len(lengths))
    with torch.no_grad():
        h, weights = network.decoder(tokens, expected)
        logits = network.output(h)
    decoder = exported.onnx.decoder
    assert decoder is not None
    for step, logit, weight in zip(tokens, logits, weights, strict=True):
        shared = {name: memory[name] for name in ("memory", "keys", "valid")}
        results, state = decoder(state, x=step.numpy(), **shared)
        close(results["logits"], logit)
        close(results["attention"], weight)


def check(exported: Exported) -> None:
    torch.manual_seed(3)
    network = exported.network
    if isinstance(network, (ManyToManyNetwork, OneToManyNetwork)):
        check_writer(exported)
    elif isinstance(network, DirectForecaster):
        check_direct(exported)
    elif isinstance(network, AutoregressiveForecaster):
        check_autoregressive(exported)
    elif isinstance(network, OneToOneNetwork):
        channels = item_shape(network.inputs)[-1]
        for size in ((9, 9), (10, 13), (31, 8)):
            x = torch.rand((3, *size, int(channels))) * 255
            close(exported.onnx(x=x.numpy())[0]["logits"], network(x))
    else:
        for lengths in LENGTHS:
            check_sequences(exported, lengths)


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model(name: str, tmp_path: Path) -> None:
    model = load(STORED / name / "model")
    exported = Exported(model.network, export(model, "onnx", tmp_path / "model.onnx"))
    check(exported)
    assert exported.onnx.files["task"] == model.task.name
    assert [file for file in exported.onnx.files if file.endswith(".json")]


def text_network() -> nn.Module:
    vectors = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    inputs, hidden = TextInputs(9, 4, vectors=vectors), LSTM(4, 5)
    votes = WordVotes(9, 3)
    torch.nn.init.normal_(votes.words)
    votes.idf_words.uniform_(1, 2)
    return ManyToOneNetwork(inputs, hidden, make_pooling("last", 5), LinearOutput(5, 3), beside=votes)


def words_network(kind: Any, vectors: bool) -> nn.Module:
    fixed = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32) if vectors else None
    inputs = Words(9, 0 if vectors else 4, 5, 2, spelling=Spelling(11, 3, 4, kind=kind), vectors=fixed)
    hidden = GRU(inputs.output_size, 5, bidirectional=True, residual=True, num_layers=2)
    return TaggingNetwork(inputs, hidden, LinearOutput(10, 4))


def writer(attention: str, feeding: bool, *, upper: bool = False, bidirectional: bool = False) -> nn.Module:
    encoder = LSTM(4, 3 if bidirectional else 6, bidirectional=bidirectional, learn_initial_state=True)
    for name in ("initial_h", "initial_c"):
        torch.nn.init.normal_(encoder.get_parameter(name))
    first = LSTM(8 if feeding else 4, 6, num_layers=2)
    layers = GRU(12, 5) if upper else None
    looks = make_attention(attention, 6, 6)
    decoder = AttentionDecoder(Embedding(9, 4), first, looks, upper=layers, input_feeding=feeding)
    return ManyToManyNetwork(Embedding(8, 4), encoder, decoder, LinearOutput(4, 9))


def about_features(**options: Any) -> nn.Module:
    decoder = AttentionDecoder(Embedding(9, 4), RNN(4, 6), make_attention("general", 6, 5))
    return OneToManyNetwork(Frames(3, 5), decoder, LinearOutput(4, 9), **options)


def direct(normalise: Any, levels: tuple[float, ...], **options: Any) -> nn.Module:
    loss = ForecastLoss("quantile" if len(levels) > 1 else "mae", levels)
    return DirectForecaster(
        GRU(8, 8, num_layers=2), context=7, horizon=5, segment=3, loss=loss, normalise=normalise, **options
    )


CONSTRUCTED: dict[str, Callable[[], nn.Module]] = {
    "texts": text_network,
    "words-lstm": lambda: words_network("lstm", vectors=True),
    "words-cnn": lambda: words_network("cnn", vectors=False),
    "frames": lambda: SyncedNetwork(StackedFrames(3, 4, stride=2, left=3), LSTM(4, 5), LinearOutput(5, 3)),
    "single-frames": lambda: SyncedNetwork(StackedFrames(3, 4, stride=1), GRU(4, 5), LinearOutput(5, 3)),
    "additive": lambda: writer("additive", feeding=True),
    "dot": lambda: writer("dot", feeding=False, upper=True),
    "general": lambda: writer("general", feeding=False, bidirectional=True),
    "features": about_features,
    "features-attributes": lambda: about_features(attributes=3),
    "direct-last": lambda: direct("last", (0.1, 0.5, 0.9), known=2, static=3),
    "direct-instance": lambda: direct("instance", (0.5,), masked=True, channels=3),
    "direct-none": lambda: direct("none", (0.5,), masked=True, known=1, channels=2, static=1),
    "autoregressive": lambda: AutoregressiveForecaster(
        GRU(13, 6), NegativeBinomial(), context=9, horizon=4, lags=(3, 5), known=2, static=2, embedding=5, masked=True
    ),
    "image": lambda: OneToOneNetwork(
        ImageEncoder(2, (4, 6, 5), blocks=2, stem_stride=2, stem_size=5, size=7),
        FeedForward(7, (3,)),
        LinearOutput(3, 2),
    ),
}


@pytest.mark.parametrize("name", CONSTRUCTED)
def test_a_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = CONSTRUCTED[name]().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
    check(Exported(network, to_onnx(network, tmp_path / "model.onnx")))


def test_a_model_whose_parts_do_not_fit_into_a_graph_is_refused(tmp_path: Path) -> None:
    model = load(STORED / "generate-personal" / "model")
    with pytest.raises(ArgumentError, match="model: what it has learned of one writer is looked up in a table"):
        export(model, "onnx", tmp_path / "model.onnx")
    with pytest.raises(ArgumentError, match="--to: expected one of onnx, c, html, found 'tflite'"):
        export(load(STORED / "classify" / "model"), "tflite", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
