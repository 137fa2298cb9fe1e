"""Images that are shown as a new header says."""
