"""Tests of the dialects of other tools."""
