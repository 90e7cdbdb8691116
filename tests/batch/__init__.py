"""Tests of `fal.map`."""
