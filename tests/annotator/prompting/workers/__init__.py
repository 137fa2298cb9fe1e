"""Tests of the prompt model."""
