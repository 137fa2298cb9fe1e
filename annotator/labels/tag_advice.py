"""What the page says about tagging in this project; from what was measured, docs/measured/tags.md."""

from annotator.protocol.outgoing import Message
from storage.store import Store

DRAWN = 4  # images with masks from which on they teach more than tags
# On all sets but stained tissue the same minutes of clicks taught more than tags (docs/measured/tags.md), so nothing
# is suggested unasked.
SUGGESTED = False


def advice(store: Store) -> Message:
    """{"suggest", "why"}: a sentence for the person."""
    total, rows = store.images(limit=-1)
    if len(store.rounds.labelled_images()) >= DRAWN:
        why = "You have masks already; correct proposals instead of tagging."
    elif total and sum(row.is_volume for row in rows) * 2 >= total:
        why = "On slices of volumes, clicks teach more than tags in the same time."
    else:
        why = (
            "Say which classes are on an image, a second each; the app proposes masks from that. "
            "If you can click on the objects, clicks give better masks in the same time."
        )
    return {"suggest": SUGGESTED, "why": why}
