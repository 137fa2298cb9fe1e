"""Prompting a volume as a whole, in the page."""
