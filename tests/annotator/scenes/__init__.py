"""Scenes of a project: taken in, shown as maps, opened region by region, put together again."""
