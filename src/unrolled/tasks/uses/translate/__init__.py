"""Translation: a sentence is read, and another one written that says the same in another language."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.data import (
    Arrays,
    ExampleStore,
    Findings,
    fit_tokenizer,
    lengths_of,
    load_tokenizer,
    padded,
    sorted_batches,
)
from unrolled.data.parallel.read import Pair, read_pairs
from unrolled.errors import ArgumentError
from unrolled.metrics.translation import corpus_bleu, translation_scores
from unrolled.networks import ManyToManyNetwork
from unrolled.storage import write_whole
from unrolled.tasks.core.example_task import ExampleTask, Material, Scored, on_device, read_json, write_json
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import last_steps, probe_translation
from unrolled.tasks.core.values import Evaluation, Plan, Progress
from unrolled.tasks.outputs.text.decode import Search, Translation, decode_ids, encode_text, search_all, translate_texts
from unrolled.tasks.uses.translate.baseline import fit_dictionary, translate_words
from unrolled.tasks.uses.translate.options import EvaluateOptions, PredictOptions, SearchOptions, TranslateOptions
from unrolled.tasks.uses.translate.plan import TokenizerPair, build_translator, plan_translator, scale_for

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

_JOINT, _SOURCE, _TARGET = "tokenizer.json", "tokenizer-source.json", "tokenizer-target.json"
_DICTIONARY = "dictionary.json"

#: development pairs that are translated once an epoch, and those that a length penalty is fitted on
DEV_PAIRS, FIT_PAIRS = 1_000, 500
#: powers of the length that are tried; with none, a smoothed model finds the shortest translations the most probable
LENGTH_PENALTIES = (0.5, 1.0, 1.5, 2.0)
#: a pair whose sides differ by this factor, beyond how they differ in most, and has so many characters, is odd
ODD_RATIO, ODD_LENGTH = 3.0, 20


class Translate(ExampleTask):
    """Sentences into another language."""

    name = "translate"
    summary = "translate sentences into another language"
    shape = "many-to-many"
    options = TranslateOptions
    evaluate_options = EvaluateOptions
    predict_options = PredictOptions
    reads = "text"
    # the decoder and its softmax cost most, so targets decide what is put together
    length_of = "target"
    baseline_files = (_DICTIONARY,)

    def read(self, paths: tuple[Path, ...], options: TranslateOptions, findings: Findings) -> list[Pair]:
        """The pairs of aligned files, tables, JSON lines or TMX."""
        return read_pairs(
            paths,
            findings,
            source=options.source,
            target=options.target,
            format=options.format,
            encoding=options.encoding,
            errors=options.errors,
        )

    def check_examples(
        self,
        train: Sequence[Pair],
        dev: Sequence[Pair],
        options: TranslateOptions,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Look for sources that were left as they are, and for sides that can't be of one sentence."""
        usual = median(len(p.target) / len(p.source) for p in train) if train else 1.0
        for pair in (*train, *dev):
            place = pair.path or None, pair.line
            if pair.source == pair.target:
                findings.warning("copy", "the target is the source: not translated?", *place)
            ratio = len(pair.target) / len(pair.source) / usual
            if not 1 / ODD_RATIO <= ratio <= ODD_RATIO and max(len(pair.source), len(pair.target)) >= ODD_LENGTH:
                sizes = f"{len(pair.source)} characters of source, {len(pair.target)} of target"
                findings.warning("length ratio", f"{sizes}: hardly of one sentence; misaligned?", *place)

    def fit(self, train: Sequence[Any], options: TranslateOptions, progress: Progress) -> TokenizerPair:
        """A tokeniser for each language, or one for both."""
        progress("fitting the tokenisers", 0, None)
        size = options.vocabulary_size
        if size is None and options.tokens == "bpe":
            size = scale_for(len(train)).vocabulary_size * (2 if options.joint else 1)
        space = " " if options.tokens == "bpe" else ""

        def fitted(texts: Iterable[str]) -> Any:
            return fit_tokenizer(options.tokens, (f"{space}{text}\n" for text in texts), size)

        if options.joint:
            both = fitted(text for pair in train for text in (pair.source, pair.target))
            return TokenizerPair(both, both)
        return TokenizerPair(fitted(p.source for p in train), fitted(p.target for p in train))

    def encode(self, example: Pair, encoders: TokenizerPair) -> Arrays:
        """Both sides as ids with their ends."""
        return {
            "source": encode_text(example.source, encoders.source),
            "target": encode_text(example.target, encoders.target),
        }

    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """Sources, what the decoder reads (the end, then all tokens but the last) and what is to come after it."""
        sources, targets = [e["source"] for e in examples], [e["target"] for e in examples]
        end = np.array([model.encoders.target.end_id], dtype=np.int32)
        return {
            "source": padded(sources).long(),
            "source_lengths": lengths_of(sources),
            "target": padded([np.concatenate([end, t[:-1]]) for t in targets]).long(),
            "target_lengths": lengths_of(targets),
            "expected": padded(targets).long(),
        }

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """Cross entropy of the target's tokens."""
        return Scored(*network.loss(**data))  # type: ignore[operator]

    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """Nats a token on all pairs, and BLEU of quick translations of some."""
        chosen = range(min(len(dev), DEV_PAIRS))
        pairs = [dev[n] for n in chosen]
        bleu = _bleu(model, pairs, Search(beam_size=1))
        return {"loss": self._loss(model, [dev[n] for n in range(len(dev))]), "bleu": bleu}

    def sample(self, model: Fitted, dev: ExampleStore) -> str | None:
        """Three sentences with their translation and the one that was asked for."""
        pairs = [dev[n] for n in range(min(3, len(dev)))]
        found = search_all(_network(model), [p["source"] for p in pairs], model.encoders, Search(beam_size=1))
        lines = []
        for pair, hypotheses in zip(pairs, found, strict=True):
            lines += [
                f"> {decode_ids(pair['source'], model.encoders.source)}",
                f"= {decode_ids(pair['target'], model.encoders.target)}",
                f"< {decode_ids(hypotheses[0].tokens, model.encoders.target)}",
            ]
        return "\n".join(lines)

    def count(self, train: Sequence[Pair], dev: Sequence[Pair], encoders: TokenizerPair) -> dict[str, Any]:
        """Characters, and the sizes of both vocabularies."""
        return {
            "source_characters": sum(len(p.source) for p in train),
            "target_characters": sum(len(p.target) for p in train),
            "source_vocabulary": encoders.source.vocabulary_size,
            "target_vocabulary": encoders.target.vocabulary_size,
        }

    def plan(self, material: Material, options: TranslateOptions, training: Any) -> Plan:
        """By the number of pairs."""
        return plan_translator(material.encoders, len(material.train), options, training)

    def save_encoders(self, encoders: TokenizerPair, folder: Path) -> None:
        """One tokeniser, or two."""
        if encoders.is_joint:
            encoders.source.save(folder / _JOINT)
        else:
            encoders.source.save(folder / _SOURCE)
            encoders.target.save(folder / _TARGET)

    def load_encoders(self, folder: Path) -> TokenizerPair:
        """Read what `save_encoders` wrote."""
        if (folder / _JOINT).is_file():
            both = load_tokenizer(folder / _JOINT)
            return TokenizerPair(both, both)
        return TokenizerPair(load_tokenizer(folder / _SOURCE), load_tokenizer(folder / _TARGET))

    def build_network(self, network: Any, encoders: TokenizerPair) -> ManyToManyNetwork:
        """Encoder, attention, decoder."""
        return build_translator(network, encoders)

    def fit_baseline(
        self, train: Sequence[Pair], dev: Sequence[Pair], encoders: Any, folder: Path, progress: Progress
    ) -> None:
        """A dictionary, to translate word by word with."""
        progress("fitting the word-by-word baseline", 0, None)
        found = fit_dictionary([p.source for p in train], [p.target for p in train])
        write_json(folder / _DICTIONARY, found)

    def check_fitted(self, fitted: Any) -> None:
        """The length penalty is a power."""
        alpha = fitted.get("length_penalty", 0.0)
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= 10:
            raise ArgumentError(f"length_penalty: expected a number from 0 to 10, found {alpha!r}")

    def finish(self, model: Fitted, material: Material, progress: Progress) -> None:
        """Fit the length penalty, by BLEU on development pairs."""
        pairs = [material.dev[n] for n in range(min(len(material.dev), FIT_PAIRS))]
        scores = {}
        for n, alpha in enumerate(LENGTH_PENALTIES):
            progress("fitting the length penalty", n, len(LENGTH_PENALTIES))
            scores[alpha] = _bleu(model, pairs, Search(length_penalty=alpha))
        best = max(LENGTH_PENALTIES, key=lambda alpha: scores[alpha])
        model.fitted.update({"length_penalty": best, "dev_bleu": scores[best]})

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """BLEU and chrF of translations as written, beside word-by-word translation and the source itself.

        Args:
            model: the model.
            paths: pairs as `train` reads them.
            progress: told how far it has come.
            options: the fields of `EvaluateOptions`.

        Raises:
            ArgumentError, DataError, StorageError: an option out of range, pairs that can't be read.
            MissingDependencyError: without sacrebleu.
        """
        started = time.perf_counter()
        chosen = EvaluateOptions(**options)
        changes = {n: getattr(chosen, n) for n in ("source", "target", "format", "encoding", "errors", "skip_bad")}
        pairs = self.read_for_evaluation(model, paths, progress, **changes)
        encoded = [self.encode(pair, model.encoders) for pair in pairs]

        def told(done: int) -> None:
            progress("translating", done, len(pairs))

        found = search_all(
            _network(model), [e["source"] for e in encoded], model.encoders, self._search(model, chosen), told
        )
        texts = [decode_ids(hypotheses[0].tokens, model.encoders.target) for hypotheses in found]
        references = [pair.target for pair in pairs]
        loss = self._loss(model, encoded)
        metrics: dict[str, Any] = {"pairs": len(pairs), "loss": loss, "perplexity": math.exp(loss)}
        metrics |= translation_scores(texts, references)
        if chosen.write is not None:
            lines = "".join(" ".join(text.splitlines()) + "\n" for text in texts)
            write_whole(chosen.write, lines.encode())
        baseline: dict[str, Any] = {}
        if model.folder is not None and (model.folder / _DICTIONARY).is_file():
            dictionary = read_json(model.folder / _DICTIONARY)
            by_word = [translate_words(pair.source, dictionary) for pair in pairs]
            baseline = {"model": "word by word (IBM Model 1)", **translation_scores(by_word, references)}
        baseline["copy"] = translation_scores([pair.source for pair in pairs], references)
        for group in (baseline, baseline["copy"]):
            group.pop("signatures", None)
        return Evaluation(self.name, [str(p) for p in paths], metrics, baseline, time.perf_counter() - started)

    def predict(self, model: Fitted, inputs: Iterable[str], **options: Any) -> Iterator[Translation]:
        """The translation of each sentence; of a blank one a blank one.

        Args:
            model: the model.
            inputs: sentences.
            options: the fields of `PredictOptions`.
        """
        chosen = PredictOptions(**options)
        search = self._search(model, chosen, chosen.n_best)
        size = chosen.batch_size or (32 if isinstance(inputs, Sequence) else 1)
        waiting: list[str] = []
        for text in inputs:
            if not isinstance(text, str):
                raise ArgumentError(f"input: the task 'translate' reads text, found {type(text).__name__}")
            waiting.append(text)
            if len(waiting) == size:
                yield from translate_texts(_network(model), waiting, model.encoders, search)
                waiting = []
        if waiting:
            yield from translate_texts(_network(model), waiting, model.encoders, search)

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """A sentence and the model's translation of it, asked about each token of the translation."""
        if not isinstance(given, str) or not given.strip():
            raise ArgumentError("input: a sentence of at least one word is needed to look into")
        source = encode_text(given.strip(), model.encoders.source)
        first, note = last_steps(len(source), limit, "tokens")
        search = self._search(model, PredictOptions.model_validate({}))
        [[best]] = search_all(_network(model), [source[first:]], model.encoders, search)
        return probe_translation(model, source[first:], best.tokens, note)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.translate.api import TranslateWire

        return TranslateWire()

    def stream(self, model: Fitted) -> Any:
        """A translation can't begin before its source has ended.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError(
            "a translator reads the whole sentence before it writes, so it can't be streamed; predict takes one "
            "sentence after the other, and models of 'generate' stream"
        )

    def _search(self, model: Fitted, chosen: SearchOptions, n_best: int = 1) -> Search:
        alpha = chosen.length_penalty
        if alpha is None:
            alpha = float(model.fitted.get("length_penalty", 1.0))
        return Search(chosen.beam_size, alpha, chosen.coverage_penalty, n_best)

    def _loss(self, model: Fitted, pairs: Sequence[Arrays]) -> float:
        """Nats a token, all pairs counted."""
        total, count = 0.0, 0
        with torch.no_grad():
            for rows in sorted_batches([len(p["target"]) for p in pairs], 64):
                data = self.collate(model, [pairs[r] for r in rows], None)
                scored = self.score(model.network, on_device(model.network, data))
                total, count = total + float(scored.total), count + scored.count
        return total / count


def _network(model: Fitted) -> ManyToManyNetwork:
    return model.network  # type: ignore[return-value]


def _bleu(model: Fitted, pairs: Sequence[Arrays], search: Search) -> float:
    """BLEU of translations of encoded pairs."""
    found = search_all(_network(model), [p["source"] for p in pairs], model.encoders, search)
    texts = [decode_ids(hypotheses[0].tokens, model.encoders.target) for hypotheses in found]
    return corpus_bleu(texts, [decode_ids(p["target"], model.encoders.target) for p in pairs])
