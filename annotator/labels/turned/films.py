"""Slices that are frames in time: people say it of volumes whose files do not, or take it back."""

from collections.abc import Iterable, Sequence

from storage.formats import grid_of_image
from storage.formats.grid import as_moments, shows_moments
from storage.rows import ImageRow
from storage.store import Store

FLAT = "has one slice alone; only a stack of slices can be a film"


def to_change(images: Sequence[ImageRow], on: bool) -> list[ImageRow]:
    """Those of which it is not said yet. Raises ValueError where there are none."""
    stacks = [image for image in images if image.is_volume]
    changed = [image for image in stacks if shows_moments(image.geometry) != on]
    if not stacks:
        raise ValueError(f"{images[0].name} {FLAT}" if images else "choose an image first")
    if not changed:
        raise ValueError(f"that is said of {named(stacks)} already")
    return changed


def title_of(images: Sequence[ImageRow], on: bool) -> str:
    return f"Said of {named(images)}: the slices are {'frames in time' if on else 'depth, not time'}"


def named(images: Sequence[ImageRow]) -> str:
    names = ", ".join(image.name for image in images[:3])
    return names + (f" and {len(images) - 3} more" if len(images) > 3 else "")


def say_frames(store: Store, image_ids: Iterable[int], on: bool) -> set[int]:
    """Those that are there; their fills go, so that they are made anew. The caller writes it as one act."""
    there = store.images_of([*image_ids])
    for image in there:
        header = store.sources.header(image.id)
        geometry = header["geometry"] or grid_of_image(image.geometry, image.shape, image.spacing_mm).json()
        store.sources.replace_header(image.id, {**header, "geometry": as_moments(geometry, on)})
        for row in store.predictions.of(image.id):
            if row.kind == "propagated":
                store.predictions.remove(image.id, row.producer)
    return {image.id for image in there}
