"""Whether tagging is worth the minutes in this project: from what was measured, docs/tags.md."""

from typing import Any

from storage.rounds import rounds_of
from storage.store import Store

FEW = 20  # pictures: below it drawing is quicker than tagging enough of them
DRAWN = 4  # images with masks from which on they teach more than tags


def advice(store: Store) -> dict[str, Any]:
    """{"suggest", "why"}: a sentence for the person in either case."""
    total, rows = store.images(limit=-1)
    pictures = sum(not row.is_volume for row in rows)
    if len(rounds_of(store).labelled_images()) >= DRAWN:
        return _no("There are masks to learn from already; correcting proposals is worth more than tags.")
    if pictures * 2 <= total:
        return _no("On slices of volumes a few clicks were worth more than as many seconds of tags.")
    if pictures < FEW:
        return _no(f"With fewer than {FEW} pictures a few clicks are worth more than tags.")
    return {
        "suggest": True,
        "why": "Some pictures hold the object and some do not? Tag them: a second each, and masks are proposed.",
    }


def _no(why: str) -> dict[str, Any]:
    return {"suggest": False, "why": why}
