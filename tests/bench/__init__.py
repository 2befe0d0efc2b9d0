"""Tests of unrolled.bench."""
