"""Tests of unrolled.kernels."""
