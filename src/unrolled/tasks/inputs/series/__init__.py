"""A time series."""
