"""Files that are the channels of one image."""
