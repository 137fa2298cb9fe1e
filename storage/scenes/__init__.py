"""Images larger than memory: opened where they lie, an overview kept, and regions of them as images."""
