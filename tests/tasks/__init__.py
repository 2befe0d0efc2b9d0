"""Tests of the tasks, one file each."""
