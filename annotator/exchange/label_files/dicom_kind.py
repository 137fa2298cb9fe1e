"""Which kind of DICOM a file is, for those that say something about a series instead of being one."""

from functools import lru_cache
from pathlib import Path

import pydicom

from annotator.exchange.label_files.contract import told_code
from storage.formats.dicom_headers import is_dicom


def code_in(item: pydicom.Dataset, keyword: str) -> str:
    """Of the first item of a code sequence, as `told_code` has it."""
    found = item.get(keyword)
    if not found:
        return ""
    parts = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
    return told_code(*(str(found[0].get(part, "")) for part in parts))


def is_segmentation(path: Path) -> bool:
    return modality_of(path) == "SEG"


def is_structure_set(path: Path) -> bool:
    return modality_of(path) == "RTSTRUCT"


def modality_of(path: Path) -> str:
    """Empty for what is no DICOM, and for a damaged header: the file's own line says so."""
    try:
        return _modality(path, path.stat().st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=1)  # one file after another is asked about for each kind
def _modality(path: Path, changed: int) -> str:
    try:
        if not is_dicom(path):
            return ""
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["Modality"])
        return str(header.get("Modality", ""))
    except Exception:  # a damaged header can raise anything
        return ""
