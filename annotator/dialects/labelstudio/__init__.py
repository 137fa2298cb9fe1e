"""Label Studio's protocol of a machine learning backend, as Label Studio 1.23 speaks it."""
