"""Volumes filled from a few labelled slices, and what is proposed from it."""
