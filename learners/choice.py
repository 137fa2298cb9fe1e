"""Which learner suits a project, and why, in words."""

from dataclasses import dataclass

FEW_IMAGES = 5  # labelled; below this a teacher has too little to teach
WEAK_SHARE = 0.5  # of boxes among what was drawn


@dataclass(frozen=True)
class Facts:
    """What is known about a project without opening an image."""

    images: int
    volumes: int
    labelled: int  # images with a label
    complete_slices: int
    drawn: int  # label events that say classes
    boxes: int  # of them, tight boxes that say nothing inside
    has_gpu: bool
    dice: float | None  # held-out, of the best model so far


@dataclass(frozen=True)
class Choice:
    learner: str
    why: str


def choose(facts: Facts) -> Choice:
    """The default of card 13c: supervised done well, until labels, a good teacher and time allow for more."""
    kind = "volumes" if facts.volumes * 2 > facts.images else "images"
    return Choice(
        "supervised",
        f"supervised training on {facts.labelled} labelled {kind}: within minutes "
        f"{'of a GPU' if facts.has_gpu else 'on this processor'} nothing beats it with few labels",
    )
