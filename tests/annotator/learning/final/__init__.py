"""Tests of the final model in a project."""
