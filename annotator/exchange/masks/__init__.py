"""Masks of other programs: which image each belongs to, what its values mean, and its label events."""
