"""Channels from files: `channelled` makes a scan of them, `together` of several files, `described` finds names."""
