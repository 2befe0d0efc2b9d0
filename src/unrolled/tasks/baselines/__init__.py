"""What a network must beat: models that need no training and stand beside every metric.

An n-gram with interpolated modified Kneser-Ney smoothing is the baseline of everything that predicts the next token;
mixed into a network's predictions, the same model of one writer's text personalises it.
"""

from unrolled.tasks.baselines.cache import CachedStepper, CacheWeights, fit_weights, mix
from unrolled.tasks.baselines.ngram import NGram, NGramStepper
from unrolled.tasks.baselines.softmax import SoftmaxRegression

__all__ = ["CacheWeights", "CachedStepper", "NGram", "NGramStepper", "SoftmaxRegression", "fit_weights", "mix"]
