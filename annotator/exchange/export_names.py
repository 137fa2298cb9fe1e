"""What the files of an export are called: names reserved once for all images, from where each came from."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from annotator.exchange.matching import NameParts, bare_name, path_parts
from storage.rows import ImageRow

LONGEST = 200  # bytes of a name; file systems take 255
OBJECTS = "_instances"  # object numbers go into a file beside the classes
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)  # by Windows, as devices


def reserve_names(images: Sequence[ImageRow]) -> dict[int, str]:
    """Image -> a name that no other's files can have, whatever the file system thinks of case or Unicode.

    It is the name of the source without its ending. Where several have the same, their folders go in front of it,
    and its ending behind it where that does not do.
    """
    sources = dict(_sources(images))
    names = {image_id: _name(parts[-1:]) for image_id, parts in sources.items()}
    for depth in range(2, 2 + max(map(len, sources.values()), default=0)):
        clashing = _clashing(names)
        names |= {image_id: _name(sources[image_id][-depth:]) for image_id in clashing}
    names |= _with_endings(names, {image.id: _ending(image) for image in images})
    while clashing := _clashing(names):  # made alike by leaving out what file systems do not take
        names |= {image_id: f"{names[image_id]}_{image_id}" for image_id in clashing}
    return names


def _sources(images: Iterable[ImageRow]) -> Iterable[tuple[int, NameParts]]:
    for image in images:
        parts = path_parts(image.source) or path_parts(image.name) or ("image",)
        name = (
            parts[-1] if image.is_volume and image.geometry.get("format") == "dicom" else bare_name(parts[-1])
        )
        yield image.id, (*parts[:-1], name)


def _with_endings(names: dict[int, str], endings: dict[int, str]) -> dict[int, str]:
    """Names of images that only their endings tell apart."""
    alike: dict[str, list[int]] = defaultdict(list)
    for image_id in _clashing(names):
        alike[_key(names[image_id])].append(image_id)
    told = [ids for ids in alike.values() if len({endings[i] for i in ids}) == len(ids) > 1]
    return {image_id: f"{names[image_id]}{endings[image_id]}" for ids in told for image_id in ids}


def _ending(image: ImageRow) -> str:
    """_png of a.png; "" where the source has none."""
    last = (path_parts(image.source) or path_parts(image.name) or ("",))[-1]
    ending = last[len(bare_name(last)) :].strip(".").replace(".", "_").lower()
    return f"_{ending}" if ending.replace("_", "").isalnum() else ""


def _name(parts: NameParts) -> str:
    plain = (unicodedata.normalize("NFC", part) for part in parts)
    name = "_".join(re.sub(r"[^\w.+-]+", "_", part).strip("._") for part in plain).strip("._")
    name = name.encode()[-LONGEST:].decode("utf-8", "ignore").strip("._") or "image"
    return f"_{name}" if RESERVED.match(name) else name


def _clashing(names: dict[int, str]) -> set[int]:
    """The images of which two would share a file of classes or of object numbers."""
    counts = Counter(_key(name + ending) for name in names.values() for ending in ("", OBJECTS))
    return {
        image for image, name in names.items() if max(counts[_key(name)], counts[_key(name + OBJECTS)]) > 1
    }


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
