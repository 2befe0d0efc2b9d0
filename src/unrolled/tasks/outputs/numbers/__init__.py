"""Numbers: forecasts and their quantiles."""
