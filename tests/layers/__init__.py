"""Tests of unrolled.layers."""
