"""Tests of the loop of rounds."""
