"""A trained network on whole images: maps, scores on held-out labels, and what rankers need to know."""
