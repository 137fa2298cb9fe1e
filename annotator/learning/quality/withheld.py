"""Why nothing is proposed, and what to do. `learners.prediction.sensible` decides image by image."""

from storage.store import Store

NO_NEGATIVES = (
    "So far only objects are labelled. Mark one slice complete, or paint some background: "
    "a learner cannot tell objects from what is none."
)

WITHHELD: dict[str, str] = {  # a sentence for every `Reason`
    "unreadable": "Nothing is proposed: this image could not be predicted. The Learn tab says why.",
    "unlearnt": "Nothing is proposed yet: the model does not find again even what people labelled. "
    "Label more objects; each round learns more.",
    "everywhere": "Nothing is proposed: the model painted nearly all of this image, far more than any label shows. "
    "Label one slice here and press K.",
    "unlike": "Nothing is proposed: this image is unlike every labelled one. Label it, or another of its kind.",
    "outside": "Nothing is proposed: what the model found looks or lies like nothing that people drew. "
    "Label an object here.",
}


def why_withheld(store: Store, image_id: int) -> str | None:
    """For an image that has no proposal at all because none made sense."""
    found = store.predictions.withheld(image_id)
    return None if found is None else WITHHELD[found.reason]
