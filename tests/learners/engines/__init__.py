"""Tests of where rounds run."""
