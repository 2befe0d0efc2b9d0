"""Tests of unrolled.cells."""
