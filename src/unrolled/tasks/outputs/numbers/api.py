"""How forecasts are answered over HTTP."""

from __future__ import annotations

from itertools import chain
from typing import Any

from unrolled.tasks.core.api import OutputApi
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import require_finite
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.types import Json


class Api(OutputApi):
    """Numbers with their quantiles."""

    def answer(self, model: AnyModel, prediction: Forecast, given: Any) -> Json:
        """Return a forecast.

        Raises:
            ArgumentError: it is not finite.
        """
        require_finite(chain(prediction.point, *prediction.by_level.values()), "values")
        return prediction.as_json()
