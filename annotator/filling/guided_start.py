"""The guided start of a volume: which orthogonal slices to label first, for the page."""

from dataclasses import asdict

from annotator.labels.label_cache import LabelCache
from annotator.labels.labelled_slices import labelled_slices
from annotator.protocol.outgoing import Message
from learners.propagate.first_slices import steps
from storage.store import Store


def guide(store: Store, folds: LabelCache, image_id: int, planes: int) -> Message:
    """`{steps, now}`: `now` is the step to label next, null where the start is made or there is nothing to guide in.
    Raises LookupError, ValueError."""
    image = store.image(image_id)
    if not image.is_volume:
        return {"steps": [], "now": None}
    with folds.lock:
        known = folds.get(image_id).known()
        labels = store.labels(image_id)
    planned = steps(known, labelled_slices(labels), image.spacing_mm or (1.0, 1.0, 1.0), planes)
    now = next((at for at, step in enumerate(planned) if not step.done), None)
    return {"steps": [asdict(step) for step in planned], "now": now}
