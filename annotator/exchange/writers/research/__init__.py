"""Writers of the layouts that research groups share data in."""
