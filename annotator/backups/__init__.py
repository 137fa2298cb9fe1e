"""Copies of a project: backups to an archive and back, nightly snapshots, and a check of every file."""
