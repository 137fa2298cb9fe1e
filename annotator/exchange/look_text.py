"""The look at an import as lines of text, for a terminal."""

from collections.abc import Iterator

from annotator.exchange.copies import APART, TAKEN
from annotator.exchange.import_look import ImportLook, SeenImage, SeenMasks
from learners.text import count_of

OBJECTS_SHOWN = 3  # values of masks that number objects


def lines_of(look: ImportLook) -> Iterator[str]:
    """Images, masks with their values, what is left out, warnings. The last line says that nothing was written."""
    yield f"{count_of(len(look.images), 'image')}:"
    for image in look.images:
        yield "  " + _image(image)
        yield from (f"      warning: {warning}" for warning in image.warnings)
        if image.like:
            yield f"      {image.like}; {TAKEN if image.taken else APART}"
        if image.earlier:
            yield f"      {image.earlier}"
        if image.header:
            yield f"      if its pixels are the same, {image.header}; --take-headers takes it"
    for family in look.masks:
        yield from _masks(family)
    for title, lines in (("left out", look.left_out), ("no image", look.passed), ("warnings", look.warnings)):
        if lines:
            yield f"{title}:"
            yield from (f"  {line}" for line in lines)
    if look.images:
        yield "Nothing was imported; run it again without --dry-run to take this."
    else:
        yield "There is no image in it; give a file or a folder of images."


def _image(image: SeenImage) -> str:
    if image.size is None:
        return image.name
    z, y, x = image.size
    parts = [image.name, image.kind, f"{x} x {y}" if z == 1 else f"{x} x {y} x {z}"]
    if image.spacing_mm:
        parts.append(" x ".join(f"{v:g}" for v in reversed(image.spacing_mm)) + " mm")
    if image.orientation:
        parts.append(image.orientation)
    if image.mask:
        parts.append(f"mask {image.mask} ({image.why})")
    return ", ".join(parts)


def _masks(family: SeenMasks) -> Iterator[str]:
    tables = f", names from {', '.join(family.tables)}" if family.tables else ""
    yield f"{count_of(family.files, 'mask')} like {family.first}{tables}:"
    for value in family.values[:OBJECTS_SHOWN] if family.objects else family.values:
        what = f"class {value.name}" if value.kind == "class" else value.kind
        yield f"  {value.shown}: {what} ({count_of(value.files, 'file')})"
    if family.objects and len(family.values) > OBJECTS_SHOWN:
        yield f"  and {len(family.values) - OBJECTS_SHOWN} more object numbers"
    yield from (f"  note: {note}" for note in family.notes)
    if family.question:
        yield f"  undecided: {family.question}"
