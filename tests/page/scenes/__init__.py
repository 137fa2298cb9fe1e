"""The map of scenes, in a real browser."""
