"""Tag schemes: how labels of single tokens stand for entities, which are spans of tokens.

    token   U.N.   official  Ekeus   heads  for  Baghdad  .
    IOB1    I-ORG  O         I-PER   O      O    I-LOC    O     B- only where an entity follows one of its own type
    BIO     B-ORG  O         B-PER   O      O    B-LOC    O     B- begins every entity (IOB2)
    BIOES   S-ORG  O         S-PER   O      O    S-LOC    O     E- ends an entity, S- is one of a single token (BILOU)

Spans are read as the CoNLL scorer `conlleval` reads them, whatever the scheme; violations of a scheme are repaired:

- an entity begins at B- and S-, and at I- and E- wherever no entity of that type is open;
- it ends after E- and S-, and before O, before another type, and before B- and S-.

IOB1 and BIO are thus read by one rule. They differ in their violations (`irregular`); `detect` tells them apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from unrolled.errors import DataError

#: "labels": no scheme, each token has a label of its own, such as a part of speech
Scheme = Literal["iob1", "bio", "bioes", "labels"]

OUTSIDE = "O"
#: the type of entities whose tags are bare prefixes (B, I, O)
UNTYPED = "_"
#: BILOU's and others' letters for BIOES's
_ALIASES = {"L": "E", "U": "S", "M": "I"}
_TAG = re.compile(r"([BIESLUM])-(.+)", re.DOTALL)
_BARE = re.compile(r"[BIESLUM]")


class Span(NamedTuple):
    """An entity: tokens `start` to before `end`.

    Attributes:
        start, end: counted in tokens, from 0.
        label: its type.
    """

    start: int
    end: int
    label: str


def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and type of a tag; ("O", "") outside of entities, ("", tag) for a tag of no scheme.

    >>> split_tag("B-LOC"), split_tag("U-PER"), split_tag("O"), split_tag("NN")
    (('B', 'LOC'), ('S', 'PER'), ('O', ''), ('', 'NN'))
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if match := _TAG.fullmatch(tag):
        return _ALIASES.get(match[1], match[1]), match[2]
    if _BARE.fullmatch(tag):
        return _ALIASES.get(tag, tag), UNTYPED
    return "", tag


def spans_of(tags: Iterable[str]) -> list[Span]:
    """Return the entities of a sentence's tags, in order, by the rules above.

    >>> spans_of(["I-ORG", "O", "B-LOC", "I-LOC", "I-PER"])
    [Span(start=0, end=1, label='ORG'), Span(start=2, end=4, label='LOC'), Span(start=4, end=5, label='PER')]

    Raises:
        DataError: for a tag of no scheme.
    """
    spans: list[Span] = []
    begun, open_type, count = 0, "", 0
    for at, tag in enumerate(tags):
        count = at + 1
        if tag == OUTSIDE:
            if open_type:
                spans.append(Span(begun, at, open_type))
                open_type = ""
            continue
        prefix, label = split_tag(tag)
        if not prefix:
            raise DataError(f"label {tag!r} belongs to no tag scheme: expected O, or B-, I-, E- or S- and a type")
        if open_type and (prefix in "BS" or label != open_type):
            spans.append(Span(begun, at, open_type))
            open_type = ""
        if not open_type:
            begun, open_type = at, label
        if prefix in "ES":
            spans.append(Span(begun, count, open_type))
            open_type = ""
    if open_type:
        spans.append(Span(begun, count, open_type))
    return spans


def tags_of(spans: Iterable[Span], length: int, scheme: Scheme = "bioes") -> list[str]:
    """Return the tags of a sentence of `length` tokens with these entities, which do not overlap.

    >>> tags_of([Span(0, 1, "ORG"), Span(1, 3, "LOC")], 4)
    ['S-ORG', 'B-LOC', 'E-LOC', 'O']
    >>> tags_of([Span(0, 1, "LOC"), Span(1, 3, "LOC")], 4, "iob1")
    ['I-LOC', 'B-LOC', 'I-LOC', 'O']
    """
    tags = [OUTSIDE] * length
    previous: Span | None = None
    for span in spans:
        start, end, label = span
        follows = previous is not None and previous.end == start and previous.label == label
        tags[start] = ("I-" if scheme == "iob1" and not follows else "B-") + label
        for at in range(start + 1, end):
            tags[at] = f"I-{label}"
        if scheme == "bioes":
            tags[end - 1] = ("S-" if end - start == 1 else "E-") + label
        previous = span
    return tags


class Detected(NamedTuple):
    """The scheme of a file, as far as its tags tell.

    Attributes:
        scheme: the best fit.
        counted: how many entities begin as only BIO ("bio"), or only IOB1 ("iob1"), lets them begin.
        odd: tags that belong to no scheme though most of the others do: typing errors.
    """

    scheme: Scheme
    counted: dict[str, int]
    odd: frozenset[str]


def detect(sentences: Iterable[Sequence[str]]) -> Detected:
    """Detect the scheme of some tagged sentences.

    Tags are "labels" unless at least nine in ten tokens that are not O have a prefix. E- and S- make it BIOES. Of the
    others, an entity that begins with B- though none of its type ends there speaks for BIO, one that begins with I- for
    IOB1; the majority decides, and BIO if nothing does.
    """
    prefixes: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    counted = {"bio": 0, "iob1": 0}
    for tags in sentences:
        previous = ""
        for tag in tags:
            prefix, label = split_tag(tag)
            if not prefix:
                plain[tag] += 1
            prefixes[prefix] += 1
            if prefix == "B" and label != previous:
                counted["bio"] += 1
            elif prefix == "I" and label != previous:
                counted["iob1"] += 1
            previous = label if prefix not in ("", OUTSIDE) else ""
    tagged = sum(prefixes.values()) - prefixes[OUTSIDE] - prefixes[""]
    if sum(plain.values()) * 9 > tagged or not tagged:
        return Detected("labels" if plain else "bio", counted, frozenset())
    if prefixes["E"] or prefixes["S"]:
        return Detected("bioes", counted, frozenset(plain))
    return Detected("iob1" if counted["iob1"] > counted["bio"] else "bio", counted, frozenset(plain))


def irregular(tags: Sequence[str], scheme: Scheme) -> Iterator[tuple[int, str]]:
    """Yield the violations of a scheme in a sentence's tags: position, and a message that says how it is read."""
    before, open_type = OUTSIDE, ""
    for at, tag in enumerate(tags):
        prefix, label = split_tag(tag)
        goes_on = open_type == label and prefix in "IE"
        after = f"after {before}" if at else "at the beginning of a sentence"
        if prefix in "IE" and not goes_on and not (scheme == "iob1" and prefix == "I"):
            yield at, f"{tag} {after} is impossible in {scheme.upper()}; read as the beginning of an entity"
        elif scheme == "bioes" and open_type and not goes_on:
            yield at, f"{tag} {after} is impossible in BIOES; {before} is read as the end of its entity"
        elif scheme == "iob1" and prefix == "B" and label != open_type:
            yield at, f"{tag} {after} is impossible in IOB1, where it would be I-{label}; read as BIO reads it"
        # in BIOES an entity of which E- or S- was read is closed; elsewhere one goes on as long as it can
        open_type = label if prefix in "BI" else ""
        before = tag
    if scheme == "bioes" and open_type:
        yield len(tags) - 1, f"{before} at the end of a sentence is impossible in BIOES; read as the end of its entity"


def allowed_transitions(tags: Sequence[str]) -> tuple[list[list[bool]], list[bool], list[bool]]:
    """Return the transitions that BIOES allows between tags ([from][to]), at the beginning and end of a sentence.

    >>> between, begins, ends = allowed_transitions(["O", "B-X", "E-X"])
    >>> between[1], begins, ends
    ([False, False, True], [True, True, False], [True, False, True])
    """
    parts = [split_tag(tag) for tag in tags]
    opens = [prefix in "BI" for prefix, _ in parts]
    goes_on = [prefix in "IE" for prefix, _ in parts]
    between = [
        [(opens[i] and a[1] == b[1]) if goes_on[j] else not opens[i] for j, b in enumerate(parts)]
        for i, a in enumerate(parts)
    ]
    return between, [not g for g in goes_on], [not o for o in opens]
