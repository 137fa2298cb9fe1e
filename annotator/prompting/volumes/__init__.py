"""Prompts answered for a whole volume by another server, in nnInteractive's protocol."""
