"""Copies of a project: backup, restore, snapshots, check."""
