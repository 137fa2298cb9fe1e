"""Objects: scores, what numbered labels teach, and how distances become numbered objects."""
