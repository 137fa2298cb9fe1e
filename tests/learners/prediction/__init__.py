"""Tests of what predictions are worth."""
