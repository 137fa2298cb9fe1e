"""Scenes, images larger than memory: taken into a project, shown as a map, opened region by region."""
