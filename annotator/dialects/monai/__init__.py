"""MONAI Label's REST protocol, as its clients in 3D Slicer and Python speak it (0.8.5)."""
