"""TIFF: `picture` reads one, by its `pages`, their `colour` and what `ome` says."""
