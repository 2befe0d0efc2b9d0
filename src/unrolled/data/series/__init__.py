"""Time series, the time line they lie on, and windows over them."""
