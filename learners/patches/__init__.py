"""Patches: which are drawn, from arrays held where, and how large they may be."""
