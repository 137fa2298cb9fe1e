"""Scenes: files of zarr and tifffile read in place, their grid, their overview."""
