"""Words that can be seen: the network learns to tell which of them occur in an image's captions, beside writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.data.text.plain_words import WordTokenizer

#: words that are in more than this share of the images say little about any of them
TOO_FREQUENT = 0.5


def frequent_words(captions: Sequence[Sequence[str]], words: WordTokenizer, most: int) -> tuple[int, ...]:
    """Return the words that occur with most images, those with too many of them left out: what can be seen or not.

    Args:
        captions: those of each image.
        words: numbers them.
        most: how many at most.
    """
    counts: Counter[int] = Counter()
    for several in captions:
        counts.update({int(n) for caption in several for n in words.encode(caption)} - {words.unknown_id})
    ranked = sorted(counts, key=lambda n: (-counts[n], n))
    return tuple(n for n in ranked if 5 <= counts[n] <= TOO_FREQUENT * len(captions))[:most]


class AttributeLoss(nn.Module):
    """The binary cross entropy of attributes, nats an image, weighed.

    Args:
        weight: beside the loss of the words.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits: Tensor, present: Tensor) -> Tensor:
        """Score logits (B, A) against the share of each image's captions that have an attribute, (B, A)."""
        # summed over the attributes: most are absent, and a mean over them would hardly move anything
        seen = F.binary_cross_entropy_with_logits(logits, present, reduction="none").sum(1).mean()
        return self.weight * 0.1 * seen
