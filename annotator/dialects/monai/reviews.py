"""What 3D Slicer's Reviewer says of a label. "flagged" is our flag on the image; "approved" takes it off."""

from typing import Any

from annotator.protocol import outgoing
from annotator.protocol.outgoing import Message
from storage.events.tool_notes import ToolNote
from storage.image_states import Trait
from storage.store import Store

META, STATUS = "segmentationMeta", "status"
FLAG: Trait = "flag"


def take_review(store: Store, what: tuple[str, int, str], said: dict[str, Any]) -> list[Message]:
    """`what`: who says it, of which image, of the label with which tag. What every page is told."""
    user, image_id, tag = what
    before = store.tool_notes.of(image_id).get(tag)
    rev = before.rev if before else store.newest_label(image_id)
    store.tool_notes.keep(image_id, ToolNote(tag, rev, user, {**(before.info if before else {}), **said}))
    meta = said.get(META)
    status = meta.get(STATUS) if isinstance(meta, dict) else None
    if status not in ("flagged", "approved"):
        return []
    on = status == "flagged"
    store.image_states.set_trait(image_id, FLAG, on, user)
    return [outgoing.mark(image_id, "flagged", on, user)]


def told_review(store: Store, image_id: int, note: ToolNote | None) -> dict[str, Any]:
    """As it stands now: somebody may have flagged the image on the page since."""
    kept = note.info.get(META) if note else None
    meta = dict(kept) if isinstance(kept, dict) else {}
    if image_id in store.image_states.with_trait(FLAG):
        meta[STATUS] = "flagged"
    elif meta.get(STATUS) == "flagged":
        meta[STATUS] = "segmented"
    return {META: meta} if meta else {}
