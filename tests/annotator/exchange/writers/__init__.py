"""Each export format, read back by a reader that is not ours, and then by ours."""
