"""Which learner suits a project, and why, in words."""

from dataclasses import dataclass

from learners.text import count_of

GOOD = 0.65  # held-out Dice from which on pseudo-labels help

FEW = 5  # labelled images; with fewer a teacher has too little to teach
ATLASES = 10  # labelled volumes up to which laying them over the others is ahead of training
SPARSE = 6  # complete slices a labelled volume; up to so many, fills teach far more than the slices alone


@dataclass(frozen=True)
class ProjectSummary:
    """What is known about a project without opening an image."""

    images: int
    volumes: int
    labelled: int  # images with a label
    complete_slices: int
    drawn: int  # label events that say classes
    boxes: int  # of them, tight boxes that say nothing about their pixels
    has_gpu: bool
    dice: float | None  # held-out, of the best model so far
    tags: int = 0  # slices that people tagged without drawing
    numbered: int = 0  # label events whose objects have numbers
    alike: bool = False  # volumes that show the same in about the same place


@dataclass(frozen=True)
class Choice:
    learner: str
    why: str


def choose(summary: ProjectSummary) -> Choice:
    """Supervised training done well, until the labels' kind, a good teacher and a GPU speak for something else.

    Where all volumes show one anatomy, a few labelled ones laid over the others are ahead of any minute of training
    (docs/measured/references.md). On processors no semi-supervised method beat it at equal time with few labels
    (docs/measured/learners.md). From two slices a volume, training on fills is ahead of training on the slices alone
    (docs/measured/few_slices.md). On pictures whose objects have numbers the learner of objects finds more of
    them in the same seconds (docs/measured/objects.md).
    """
    if summary.tags and not summary.drawn and not summary.complete_slices:
        return Choice("tags", "nothing is drawn yet, so it learns from tags")
    kind = "volumes" if summary.volumes * 2 > summary.images else "images"
    if summary.boxes * 2 > summary.drawn:
        return Choice("weak", "most labels are boxes, which say nothing about single pixels")
    if summary.drawn and not summary.complete_slices:
        return Choice(
            "weak",
            "no slice is complete, so labels count as scribbles and the rest is unknown",
        )
    unlabelled = summary.images - summary.labelled
    good = summary.dice is not None and summary.dice >= GOOD
    if summary.has_gpu and good and summary.labelled >= FEW and unlabelled > summary.labelled:
        return Choice(
            "unimatch",
            f"there is a GPU, {unlabelled} {kind} are unlabelled, and the model is good enough "
            f"(held-out Dice {summary.dice:.2f}) to teach itself from them",
        )
    if kind == "volumes" and summary.alike and summary.labelled <= ATLASES:
        return Choice(
            "atlas",
            "the volumes look alike, so labels carry over from a few to the others without training",
        )
    if not summary.labelled:
        learner = "propagated" if kind == "volumes" else "supervised"
        return Choice(learner, "nothing is labelled yet, and it needs the fewest labels and minutes")
    if kind == "volumes" and summary.complete_slices <= SPARSE * summary.labelled:
        return Choice(
            "propagated",
            f"{count_of(summary.complete_slices, 'complete slice')} in "
            f"{count_of(summary.labelled, 'labelled volume')}: "
            "their fills teach more than the slices alone",
        )
    if kind == "images" and summary.numbered * 2 > summary.drawn:
        return Choice("objects", "the labelled objects have numbers, so it learns to tell them apart")
    where = "a GPU" if summary.has_gpu else "this processor"
    return Choice(
        "supervised",
        f"{count_of(summary.labelled, f'labelled {kind[:-1]}')} on {where}: "
        "supervised training is hard to beat here",
    )
