"""What keeps a project safe: looking without writing, snapshots, backups, and a check of every file."""
