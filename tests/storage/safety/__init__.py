"""What keeps a project safe: looking, snapshots, backups, the check."""
