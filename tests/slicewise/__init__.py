"""Tests of the Python package for notebooks and scripts."""
