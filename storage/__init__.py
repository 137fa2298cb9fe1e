"""A project on disk. arrays: files, NumPy only. store: facts, SQLite. formats: other tools' files."""
