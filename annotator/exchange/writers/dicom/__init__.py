"""Writers of DICOM about a series: it has to lie at hand, because a project keeps no identifiers."""
