"""What OME-XML in a TIFF says: which files hold the image's pages, how many bits count, and the spacing."""

import re
from pathlib import Path
from xml.etree import ElementTree

from tifffile import TiffFile

from storage.formats.base import FileRefused, PartOfAnother
from storage.formats.units import millimetres

PLAIN_NAME = re.compile(r"[^/\\:*?\0]+")


def check_files(tiff: TiffFile, path: Path) -> None:
    """Refuses a file whose pages belong to another, and one that misses some of its image's files."""
    if not tiff.ome_metadata:
        return
    root = _parsed(tiff.ome_metadata)
    for element in root.iter():
        if _tag(element) == "BinaryOnly":
            _refuse_described_elsewhere(element.get("MetadataFile") or "", path)
    if others := _other_files(root, path):
        _check_beside(others, path)
        leader = min((path.name, *others), key=_natural)
        if leader != path.name:
            raise PartOfAnother(_part_of(leader))


def significant_bits(xml: str | None) -> int | None:
    """How many bits of each sample count; None where it is not said."""
    found = re.search(r'SignificantBits="(\d{1,2})"', xml or "")
    return int(found[1]) or None if found else None


def spacing_of(xml: str | None) -> tuple[float, float, float] | None:
    """(z, y, x) in mm; a z that is not said is taken to be y."""
    sizes = {}
    for axis in "XYZ":
        value = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]{{1,30}})"', xml or "")
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]{{1,10}})"', xml or "")
        if value and (mm := millimetres(unit[1] if unit else "µm")):
            sizes[axis] = float(value[1]) * mm
    if "X" not in sizes or "Y" not in sizes:
        return None
    return sizes.get("Z", sizes["Y"]), sizes["Y"], sizes["X"]


def _refuse_described_elsewhere(name: str, path: Path) -> None:
    """A file that holds pixels and no word on them."""
    if (
        PLAIN_NAME.fullmatch(name)
        and name.lower().endswith((".tif", ".tiff"))
        and path.with_name(name).is_file()
    ):
        raise PartOfAnother(_part_of(name))
    raise FileRefused(
        "what its pages are is said in another file, which is no TIFF; save the image as one OME-TIFF"
    )


def _parsed(xml: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        raise FileRefused(
            "its OME-XML is damaged, so the order of its pages is lost; save it again"
        ) from None


def _other_files(root: ElementTree.Element, path: Path) -> set[str]:
    """Names of the files that hold pages of this image, without the file itself, which may have been renamed."""
    own = root.get("UUID")
    named = {
        (element.text, element.get("FileName") or "")
        for data in root.iter()
        if _tag(data) == "TiffData"
        for element in data
        if _tag(element) == "UUID"
    }
    others = {name for uuid, name in named if name and (uuid != own or own is None)}
    return {name for name in others if name.lower() != path.name.lower()}


def _check_beside(names: set[str], path: Path) -> None:
    for name in sorted(names):
        if not PLAIN_NAME.fullmatch(name):
            raise FileRefused("its pages are in files elsewhere; save the image as one file")
        beside = path.with_name(name)
        if beside.is_symlink() or not beside.is_file():
            shown = "".join(c if c.isprintable() else "_" for c in name)
            raise FileRefused(
                f"its image is in {len(names) + 1} files and {shown} is not beside it; copy all of them"
            )


def _part_of(name: str) -> str:
    shown = "".join(c if c.isprintable() else "_" for c in name)
    return f"its pages are part of the image in {shown}; import that, or save the image as one file"


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(digits or 0), text) for digits, text in re.findall(r"(\d*)(\D*)", name.lower())]


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
