"""A text in progress: what was typed so far, the model's state after it, and what may come next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from unrolled.data import Tokenizer
from unrolled.decoding import (
    FINISHED,
    BytePrefix,
    MergingStepper,
    PhraseRule,
    SamplingOptions,
    Stepper,
    Suggestion,
    choose,
    complete_batch,
    row_generators,
    sample,
)
from unrolled.errors import ArgumentError
from unrolled.layers import Session, StreamState
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.next.predictor import AdaptivePredictor, TokenPredictor, predictor_of

BEAM = 4
#: tokens that a session remembers for the penalties on repetition
RECENT = 256
#: hypotheses less probable than this are given up, nats: what is right once in 150 times is of no use, and searching
#: for it takes most of the time. On e-mail (AESLC, development part, a 2×256 model at 1,500 places) keystrokes saved
#: are 15.8 % with -8, 17.0 % with -5 and 16.4 % with -3, and the median suggestion takes 4.4, 2.8 and 1.8 ms; phrases
#: of 2 to 5 words are found as often with -5 as with -8, and less often with -3
LEAST_LOG_PROB = -5.0
#: a word longer than this is taken as ended, characters
LONGEST_WORD = 64
MAX_TOKENS = {"char": 32, "byte": 32, "bpe": 12, "word": 8}


class TextSession(Session):
    """A stream of text through a causal model. Pushing in pieces, or whole, leads to the same state.

    A session is of fixed size however long the text: a state, the last few tokens, and for BPE the last few characters
    whose tokens what follows may still change.

    Args:
        model: a language model.
        predictor: what is asked for the next token instead of the model, e.g. an n-gram over the same tokens.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> session.push("Thank you for yo").suggestion().text       # doctest: +SKIP
    'ur help'
    """

    def __init__(self, model: AnyFitted, predictor: TokenPredictor | None = None) -> None:
        self._model = model
        self._tokenizer: Tokenizer = model.input.tokenizer
        self._predictor = predictor_of(model) if predictor is None else predictor
        self.reset()

    def reset(self) -> TextSession:
        """Begin again, with nothing typed."""
        self._state: Any = self.stepper.start(1)
        self._logits: Tensor | None = None
        self._pending, self._position, self._recent = "", 0, list[int]()
        self.read([start_token(self._model)])
        self._position, self._recent = 0, []
        return self

    def push(self, text: str) -> TextSession:
        """Read more text. Characters that the model has never seen count as its unknown character."""
        self.read(self.tokens_of(text))
        return self

    def tokens_of(self, text: str) -> list[int]:
        """Return the tokens that are certain now that `text` has come, to be read next. The rest is pending."""
        if self._tokenizer.kind in ("bpe", "word"):
            # half a surrogate pair is no character, and reads as it does for `encode`
            text = text.encode("utf-8", "replace").decode("utf-8")
        ids, self._pending = self._tokenizer.encode_prefix(self._pending + text)
        certain: list[int] = ids.tolist()
        return certain

    def suggest(
        self,
        n: int = 3,
        *,
        max_words: int | None = None,
        beam_size: int = BEAM,
        max_tokens: int | None = None,
        min_log_prob: float | None = None,
    ) -> list[Suggestion]:
        """Return the most probable continuations up to a phrase, n of each number of words, best score first.

        Args:
            n: how many of each length.
            max_words: words in a suggestion, at most.
            beam_size: hypotheses kept by the search.
            max_tokens: tokens in a suggestion, at most.
            min_log_prob: give up on hypotheses below this, nats.

        Raises:
            ArgumentError: an option out of range.
        """
        return search(
            [self], n, max_words=max_words, beam_size=beam_size, max_tokens=max_tokens, min_log_prob=min_log_prob
        )[0]

    def suggestion(self, threshold: float | None = None, **options: Any) -> Suggestion | None:
        """Return the suggestion worth showing: the longest whose score reaches the threshold, or None.

        Args:
            threshold: nats per token; by default the one fitted on development data for the chosen coverage.
            options: as for `suggest`.
        """
        limit = self._model.fitted.get("threshold") if threshold is None else threshold
        if limit is None:
            raise ArgumentError("threshold: none was fitted for this model; name one, in nats per token")
        # a score is the mean over at most max_tokens + 1 tokens: below this sum no suggestion can reach the limit
        tokens = options.get("max_tokens") or MAX_TOKENS[self._tokenizer.kind]
        options.setdefault("min_log_prob", max(LEAST_LOG_PROB, min(limit * (tokens + 1), -1e-9)))
        return choose(self.suggest(**options), limit)

    def generate(
        self,
        max_tokens: int = 400,
        *,
        options: SamplingOptions | None = None,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> Iterator[str]:
        """Write on from here, in pieces as they come; the session itself stays where it is.

        Args:
            max_tokens: tokens at most.
            options: temperature and the like.
            seed: of this text.
            stop: strings that end the text; the one found is not part of it.
        """
        return self.generate_many(1, max_tokens, options=options, seed=seed, stop=stop)[0]

    def generate_many(
        self,
        n: int,
        max_tokens: int = 400,
        *,
        options: SamplingOptions | None = None,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[Iterator[str]]:
        """Return n texts, each an iterator of pieces; text k is the one that `generate` writes with `seed + k`."""
        if max_tokens < 0:
            raise ArgumentError(f"max_tokens: expected 0 or more, found {max_tokens}")
        if n < 1:
            raise ArgumentError(f"n: expected at least 1 sample, found {n}")
        if any(not s for s in stop):
            raise ArgumentError("stop: an empty string would end every text at once")
        settled = self.settled()
        return [
            settled._one(max_tokens, options or SamplingOptions(), generator, tuple(stop))
            for generator in (row_generators(seed + k, 1)[0] for k in range(n))
        ]

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        extra = {"pending": self._pending, "recent": self._recent}
        return StreamState((self._state, self._logits), self._position, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> TextSession:
        """Take up a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        self._state, self._logits = saved.tensors
        self._position, self._pending = saved.position, str(saved.extra.get("pending", ""))
        self._recent = [int(token) for token in saved.extra.get("recent", [])]
        return self

    def settled(self) -> TextSession:
        """Return a fork that has read everything, pending characters too, as the tokeniser does where a text ends."""
        twin = self.fork()
        twin.read(self._tokenizer.encode(self._pending).tolist())
        twin._pending = ""
        return twin

    def _one(
        self, max_tokens: int, options: SamplingOptions, generator: torch.Generator, stop: tuple[str, ...]
    ) -> Iterator[str]:
        tokenizer, decoder = self._tokenizer, self._tokenizer.decoder()
        never = () if tokenizer.unknown_id is None else (tokenizer.unknown_id,)
        shaped = SamplingOptions(**{**vars(options), "forbidden": (*options.forbidden, *never)})

        def is_over(tokens: Tensor) -> Tensor:
            return tokens == tokenizer.end_id

        drawn = sample(
            self.stepper, self._state, self.logits, max_tokens=max_tokens, options=shaped,
            history=torch.tensor([self._recent], dtype=torch.int64, device=self.logits.device),
            stop=is_over, generator=[generator],
        )  # fmt: skip
        longest = max(map(len, stop), default=1)
        held = ""
        for tokens in drawn:
            token = int(tokens[0])
            if token in (FINISHED, tokenizer.end_id):
                break
            held += decoder.feed(token)
            end = min((held.find(s) for s in stop if s in held), default=-1)
            if end >= 0:
                yield held[:end]
                return
            # the end of what is held might be the beginning of a stop string
            safe = len(held) - longest + 1
            if safe > 0:
                yield held[:safe]
                held = held[safe:]
        rest = held + decoder.flush()
        if rest:
            yield rest

    def read(self, ids: list[int]) -> None:
        """Read some tokens."""
        self._position += len(ids)
        # for the penalties on repetition, which look back this far; a new list, since forks share the old one
        self._recent = [*self._recent, *ids[-RECENT:]][-RECENT:]
        if ids:
            self._logits, self._state = self._predictor.read(ids, self._state)

    def take(self, token: int, logits: Tensor, state: Any) -> None:
        """Take up where one token led to, which was read together with those of other sessions."""
        self._position += 1
        self._recent = [*self._recent, token][-RECENT:]
        self._logits, self._state = logits, state

    def forget(self) -> TextSession:
        """Forget what was learned from the text so far, and not the text: as if it had been read without learning."""
        if isinstance(self._predictor, AdaptivePredictor):
            self._logits, self._state = self._predictor.forgotten(self._state)
        return self

    @property
    def learns(self) -> bool:
        """Whether it learns from what it reads."""
        return self._predictor.learns

    @property
    def model(self) -> AnyFitted:
        """Whose stream this is."""
        return self._model

    @property
    def stepper(self) -> MergingStepper[Any]:
        """The reader of the tokens."""
        return self._predictor.stepper

    @property
    def pending(self) -> str:
        """Characters whose tokens what follows may still change."""
        return self._pending

    @property
    def newest(self) -> int:
        """The last token that was read; −1 before any, and after a state was resumed that says none."""
        return self._recent[-1] if self._recent else -1

    @property
    def carried(self) -> Any:
        """The stepper's state, of one row."""
        return self._state

    @property
    def logits(self) -> Tensor:
        """After what was read, (1, V)."""
        if self._logits is None:
            raise ArgumentError("session: nothing has been read yet")
        return self._logits


def start_token(model: AnyFitted) -> int:
    """Return what a text begins after: the end of another, if the model has seen such ends, else a new line."""
    tokenizer: Tokenizer = model.input.tokenizer
    if model.config.count("documents", 1) > 1:
        return tokenizer.end_id
    newline = tokenizer.encode("\n").tolist()
    known = len(newline) == 1 and newline[0] != tokenizer.unknown_id
    return int(newline[0]) if known else tokenizer.end_id


#: finds the stepper and the state from which so many rows are searched after some texts
Start = Callable[[Sequence[TextSession], int], tuple[Stepper[Any], Any]]


def search(
    sessions: Sequence[TextSession],
    n: int,
    *,
    max_words: int | None = None,
    beam_size: int = BEAM,
    max_tokens: int | None = None,
    min_log_prob: float | None = None,
    start: Start | None = None,
) -> list[list[Suggestion]]:
    """Return what `TextSession.suggest` says of each of some sessions of one model, by one search.

    Args:
        sessions: at least one.
        n, max_words, beam_size, max_tokens, min_log_prob: as for `TextSession.suggest`.
        start: finds what the search begins with; by default the sessions' states, side by side.
    """
    model = sessions[0].model
    rule, healing = phrase_tools(model, model.fitted.get("max_words", 5) if max_words is None else max_words)
    # Inside a pending word the prefix binds the search; a pending space or mark alone binds it as well. But a phrase
    # can't begin with what ends one, and a run of letters of any length is no word to be completed.
    ready = [
        s.settled() if rule.before_end(s.pending) is not None or len(s.pending) > LONGEST_WORD else s for s in sessions
    ]
    prefixes = [s.pending.encode("utf-8", "replace") for s in ready]
    tokens = MAX_TOKENS[model.input.tokenizer.kind] if max_tokens is None else max_tokens
    stepper, state = (start or side_by_side)(ready, len(ready) * (beam_size * (tokens + 1) + 1))
    return complete_batch(
        stepper,
        state,
        torch.cat([s.logits for s in ready]) if len(ready) > 1 else ready[0].logits,
        rule=rule,
        max_tokens=tokens,
        beam_size=beam_size,
        n_best=n,
        min_log_prob=LEAST_LOG_PROB if min_log_prob is None else min_log_prob,
        healing=healing if any(prefixes) else None,
        prefixes=prefixes,
    )


def side_by_side(sessions: Sequence[TextSession], rows: int) -> tuple[Stepper[Any], Any]:
    """Return the stepper of some sessions, and their states as one."""
    stepper = sessions[0].stepper
    return stepper, sessions[0].carried if len(sessions) == 1 else stepper.merge([s.carried for s in sessions])


def phrase_tools(model: AnyFitted, max_words: int) -> tuple[PhraseRule, BytePrefix | None]:
    """Return the tables that completion needs for a model's vocabulary, made once and kept for its tokeniser."""
    tokenizer: Tokenizer = model.input.tokenizer
    cache = _TOOLS.setdefault(tokenizer.fingerprint, {})
    if max_words not in cache:
        pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocabulary_size)]
        forbidden = () if tokenizer.unknown_id is None else (tokenizer.unknown_id,)
        rule = PhraseRule(pieces, max_words=max_words, forbidden=forbidden, end_ids=(tokenizer.end_id,))
        cache[max_words] = (rule, BytePrefix(pieces) if tokenizer.kind in ("bpe", "word") else None)
    return cache[max_words]


_TOOLS: dict[str, dict[int, tuple[PhraseRule, BytePrefix | None]]] = {}
