"""The tokeniser of a language model, and what its completions may be, as tables of C. V vocabulary."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from unrolled.data import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer
from unrolled.decoding import PhraseRule
from unrolled.errors import ArgumentError
from unrolled.export.c.plan import Plan, table

#: hypotheses that a search can follow, and words of a suggestion, at most
BEAM, WORDS = 8, 16
#: bytes of a word that a stream keeps until the word is over, and of a character until it is whole
_WORD, _CHARACTER = 1024, 8
_LAST = 0x110000


@dataclass(frozen=True)
class Typing:
    """How a language model reads text and completes it.

    Attributes:
        tokenizer: of its tokens.
        start: the token that is read before a text begins.
        max_tokens: of a suggestion.
        max_words: of a suggestion.
        beam: hypotheses that are followed.
        least_log_prob: less probable ones are given up, nats.
        longest_word: characters of a word that is still to be completed.
        threshold: the score from which on a suggestion is worth showing, nats a token; None where none was fitted.
    """

    tokenizer: Tokenizer
    start: int
    max_tokens: int
    max_words: int
    beam: int
    least_log_prob: float
    longest_word: int
    threshold: float | None


def add_text(plan: Plan, typing: Typing) -> None:
    """Add reading and completing text to a network of tokens.

    Raises:
        ArgumentError: for a tokeniser that is none of characters, bytes and byte pairs.
    """
    tokenizer = typing.tokenizer
    pieces = tokenizer.bytes_of_tokens
    longest, heals = max(map(len, pieces)), isinstance(tokenizer, BPETokenizer)
    tokens = max(32, typing.max_tokens)
    plan.publish(
        PENDING=_WORD if heals else _CHARACTER,
        BEAM=max(BEAM, typing.beam),
        TOKENS=tokens,
        WORDS=max(WORDS, typing.max_words),
        TEXT=(tokens + 1) * longest + 1,
    )
    if typing.threshold is not None:
        plan.publish(THRESHOLD=float(typing.threshold))
    plan.define(
        KEPT=plan.carry(int(plan.constants["VECTOR"])),
        START_TOKEN=typing.start,
        DEFAULT_TOKENS=typing.max_tokens,
        DEFAULT_WORDS=typing.max_words,
        DEFAULT_BEAM=typing.beam,
        LEAST_LOG_PROB=float(typing.least_log_prob),
        LONGEST_WORD=typing.longest_word,
        HEALS=heals,
        PIECE_PLACES=table(map(str, _places(pieces))),
        PIECES=table(map(str, b"".join(pieces))),
    )
    rule = _rule(tokenizer)
    plan.define(TOKEN_TABLE=table(_tokens(rule, tokenizer)))
    ranges = _ranges()
    plan.define(RANGES=len(ranges), RANGE_TABLE=table(ranges))
    plan.headers.append("text/text.h")
    plan.sources += ["text/utf8.c", "text/reading.c", f"text/{_add_tokenizer(plan, tokenizer)}.c"]
    plan.sources += [f"text/{name}.c" for name in ("pushing", "search", "suggestions", "completion")]


def _add_tokenizer(plan: Plan, tokenizer: Tokenizer) -> str:
    """Add the tables of a tokeniser; returns the name of its file."""
    if isinstance(tokenizer, ByteTokenizer):
        return "bytes"
    if isinstance(tokenizer, CharTokenizer):
        codes = sorted((ord(character), n + 2) for n, character in enumerate(tokenizer.characters))
        plan.define(CHARACTERS=table(f"{{{code}, {token}}}" for code, token in codes), UNKNOWN_TOKEN=1)
        return "characters"
    if isinstance(tokenizer, BPETokenizer):
        ids = {piece: n for n, piece in enumerate(tokenizer.bytes_of_tokens)}
        merges = sorted((ids[a], ids[b], ids[a + b], rank) for rank, (a, b) in enumerate(tokenizer.merges))
        plan.define(
            MERGES=len(merges),
            # one more, since C has no array of nothing
            MERGE_TABLE=table([*("{" + ", ".join(map(str, merge)) + "}" for merge in merges), "{0}"]),
            BYTE_TOKENS=table(str(ids[bytes([byte])]) for byte in range(256)),
        )
        return "pairs"
    raise ArgumentError(
        f"model: a C export has no tokenizer {tokenizer.kind!r}, only char, byte and bpe; --to onnx exports the network"
    )


def _places(pieces: Sequence[bytes]) -> Iterator[int]:
    place = 0
    yield place
    for piece in pieces:
        place += len(piece)
        yield place


def _rule(tokenizer: Tokenizer) -> PhraseRule:
    forbidden = () if tokenizer.unknown_id is None else (tokenizer.unknown_id,)
    return PhraseRule(tokenizer.bytes_of_tokens, forbidden=forbidden, end_ids=(tokenizer.end_id,))


def _tokens(rule: PhraseRule, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield for each token its traits, the words that it begins, and the bytes that an end of a phrase shows of it."""
    for token, piece in enumerate(rule.pieces):
        text = piece.decode("utf-8", "surrogateescape")
        shown = rule.before_end(text)
        begins, ends = rule.in_word(text[:1] or " "), rule.in_word(text[-1:] or " ")
        traits = {
            "SUGGESTED": bool(text) and token != tokenizer.unknown_id,
            "ENDING": shown is not None,
            "BEGINS_IN_WORD": begins,
            "ENDS_IN_WORD": ends,
            "SEPARATES": token == tokenizer.end_id or (bool(text) and not begins),
        }
        kept = (shown or "").encode("utf-8", "surrogateescape")
        words = rule.count_words(text if shown is None else shown)
        yield f"{{{' | '.join(name for name, holds in traits.items() if holds) or '0'}, {words}, {len(kept)}}}"


@lru_cache(maxsize=1)
def _ranges() -> tuple[str, ...]:
    """Return ranges of code points of one kind, those of no kind left out."""
    rule, ranges, first, before = PhraseRule([b"a"]), list[str](), 0, ""
    for code in range(_LAST + 1):
        kind = _kind(rule, chr(code)) if code < _LAST else ""
        if kind != before:
            if before:
                ranges.append(f"{{{first}, {code - 1}, {before}}}")
            first, before = code, kind
    return tuple(ranges)


def _kind(rule: PhraseRule, character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cn", "Co", "Cs"):
        return ""
    kinds = {
        "LETTER": category[0] == "L",
        "NUMBER": category[0] == "N",
        "OF_WORD": rule.in_word(character),
        "ENDS_SENTENCE": rule.before_end(character) == character,
        "BREAKS_LINE": rule.before_end(character) == "",
    }
    return " | ".join(name for name, holds in kinds.items() if holds)
