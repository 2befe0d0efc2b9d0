"""Tests of unrolled.testing."""
