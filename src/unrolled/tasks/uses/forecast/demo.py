"""Two climate records that statsmodels carries, to learn to forecast."""

from __future__ import annotations

from pathlib import Path

from unrolled.errors import MissingDependencyError
from unrolled.tasks.core.contract.demonstration import Demonstration, write_rows
from unrolled.tasks.core.values import Sources


def write_climate(folder: Path) -> Sources:
    """Write the monthly sea surface temperature off Peru, and the monthly carbon dioxide over Mauna Loa.

    Raises:
        MissingDependencyError: statsmodels is not installed.
    """
    try:
        from statsmodels.datasets import co2, elnino
    except ImportError as error:
        raise MissingDependencyError("statsmodels", "gallery", "the gallery's forecaster") from error
    rows: list[tuple[object, ...]] = [("series", "month", "value")]
    for year, *months in elnino.load_pandas().data.itertuples(index=False):
        rows += [("sea", f"{year:.0f}-{month:02}", value) for month, value in enumerate(months, 1)]
    # weeks without a measurement are few; the mean of a month bridges them, and a line a month without any
    monthly = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    rows += [("CO2", f"{day:%Y-%m}", round(value, 2)) for day, value in monthly.items()]
    return Sources((write_rows(folder / "climate.csv", rows),))


DEMONSTRATIONS = (
    Demonstration(
        name="climate",
        origin="public",
        about="monthly sea surface temperature off Peru (NOAA) and carbon dioxide over Mauna Loa (Keeling and Whorf), "
        "which statsmodels carries.",
        write=write_climate,
        share=0.4,
        options={"horizon": 24, "season": 12, "series": "series", "time": ["month"]},
    ),
)
