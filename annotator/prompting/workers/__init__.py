"""Prompts answered in processes of their own."""
