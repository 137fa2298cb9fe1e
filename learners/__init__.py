"""Training methods behind one seam. Importing this loads no torch: a method imports what it needs when it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.lazy import LazyFunction

if TYPE_CHECKING:
    from learners.spec import RoundResult, RoundSpec
    from learners.training.trainer import Recipe


@dataclass(frozen=True)
class LearnerEntry:
    """A method that can be chosen: a recipe for the training loop, or the function that runs its rounds."""

    title: str
    good_at: str
    make: "Callable[[], Recipe] | None" = None
    needs: str = ""  # what it wants before it is more than supervised training, in words
    run_round: "Callable[[RoundSpec], RoundResult] | None" = (
        None  # runs a round; None: the training loop does
    )
    network: bool = True  # its model is a network, which goes on training and others may start from
    reads_tags: bool = False  # tags are news for it, as labels are for every learner
    reads_fills: bool = False  # what propagators made of volumes is labels for it
    fills_last: bool = False  # as in its recipe: it trusts fills in later rounds as in the first
    lasting: bool = False  # trains for hours or days, only where somebody asks, and goes on after a kill

    def recipe(self) -> "Recipe":
        if self.make is None:
            raise LookupError(f"{self.title} has no recipe for the training loop")
        return self.make()


TEACHER = "a held-out Dice of 0.65; until then it trains on the labels alone"

LEARNERS: dict[str, LearnerEntry] = {
    "supervised": LearnerEntry(
        title="Supervised",
        good_at="few labels and a few minutes, on any machine; the one to beat",
        make=LazyFunction("learners.methods.supervised:make"),
    ),
    "objects": LearnerEntry(
        title="Objects (told apart where they touch)",
        good_at="cells, nuclei and particles: every object gets a number, also where several touch",
        make=LazyFunction("learners.methods.objects:make"),
        needs="labels whose objects have numbers; without them it learns areas alone",
    ),
    "flows": LearnerEntry(
        title="Objects by flows (to their centres)",
        good_at="objects that bend around others, which no distance to a centre tells apart",
        make=LazyFunction("learners.methods.objects:flows"),
        needs="labels whose objects have numbers; without them it learns areas alone",
    ),
    "weak": LearnerEntry(
        title="Scribbles, clicks and boxes",
        good_at="labels that cover only part of each object",
        make=LazyFunction("learners.methods.weak:make"),
    ),
    "unimatch": LearnerEntry(
        title="UniMatch (weak to strong)",
        good_at="many unlabelled images, with a GPU or a night of training",
        make=LazyFunction("learners.methods.unimatch:make"),
        needs=TEACHER,
    ),
    "mean_teacher": LearnerEntry(
        title="Mean Teacher",
        good_at="objects with blurred borders; like UniMatch, with soft targets",
        make=LazyFunction("learners.methods.mean_teacher:make"),
        needs=TEACHER,
    ),
    "bcp": LearnerEntry(
        title="BCP (copy-paste both ways)",
        good_at="one anatomy in about the same place, few labels, and ten minutes or more on a GPU",
        make=LazyFunction("learners.methods.bcp:make"),
        needs=TEACHER,
    ),
    "stpp": LearnerEntry(
        title="ST++ (train on the most stable)",
        good_at="projects with twenty labels or more, on any machine",
        make=LazyFunction("learners.methods.stpp:make"),
        needs="one finished round; then it learns from the more stable half of its proposals",
    ),
    "propagated": LearnerEntry(
        title="Slices and their fills",
        good_at="volumes with a few labelled slices each, in seconds on any machine",
        make=LazyFunction("learners.methods.propagated:make"),
        reads_fills=True,
        needs="filled volumes; without them it trains as Supervised does",
        fills_last=True,
    ),
    "desco": LearnerEntry(
        title="DeSCO (two networks, dense to sparse)",
        good_at="volumes with slices labelled in two planes, many unlabelled volumes, and time",
        make=LazyFunction("learners.methods.desco:make"),
        reads_fills=True,
        needs="filled volumes; without them its two networks teach each other from the slices alone",
    ),
    "sfr": LearnerEntry(
        title="SFR (SAM on mosaics of slices)",
        good_at="one or two well-labelled volumes, many unlabelled ones, and a GPU; not tested with trained weights",
        make=LazyFunction("learners.methods.sfr:make"),
        reads_fills=True,
        needs="SAM ViT-B, ViT-L, ViT-H, MedSAM or micro-sam on this machine, and volumes",
        run_round=LazyFunction("learners.methods.sfr:run"),
    ),
    "cross_teaching": LearnerEntry(
        title="3D/2D cross-teaching",
        good_at="volumes with several labelled slices in each of two planes, and time",
        make=LazyFunction("learners.methods.cross_teaching:make"),
        reads_fills=True,
        needs="volumes whose slices lie close together",
    ),
    "tags": LearnerEntry(
        title="Image tags",
        good_at="many pictures, some of them with the object; a second each, and no drawing",
        make=LazyFunction("learners.methods.supervised:make"),
        needs="tags: which classes are on a slice and which are not",
        run_round=LazyFunction("learners.methods.tags.round:run"),
        reads_tags=True,
    ),
    "final": LearnerEntry(
        title="Final model",
        good_at="the end of a project: one long training on all labels, with all that makes a model better",
        run_round=LazyFunction("learners.final.round:run"),
        needs="hours, or a night; the button under Final model starts it",
        lasting=True,
    ),
    "atlas": LearnerEntry(
        title="Atlases (labelled volumes laid over the others)",
        good_at="scans of one anatomy in about the same position, from one labelled volume on; no training",
        run_round=LazyFunction("learners.methods.atlas:run"),
        network=False,
        needs="one labelled or filled volume; pictures do not work",
    ),
    "reference": LearnerEntry(
        title="Reference images",
        good_at="finding the same objects in all images from one labelled image, in seconds",
        run_round=LazyFunction("learners.methods.reference.round:run"),
        network=False,
        needs="one complete image or slice that shows the object",
    ),
    "reference_aligned": LearnerEntry(
        title="Reference images, aligned (CAV-SAM)",
        good_at="references that are turned, scaled or lit differently; takes some seconds more",
        run_round=LazyFunction("learners.methods.reference.round:run_aligned"),
        network=False,
        needs="one complete image or slice that shows the object",
    ),
    "reference_film": LearnerEntry(
        title="Reference images as a film (CAV-SAM)",
        good_at="one object per picture, in photographs, skin or chest images; not tested with trained weights",
        run_round=LazyFunction("learners.methods.reference.film_round:run"),
        network=False,
        needs="SAM 2.1 or EdgeTAM on this machine, and one complete image or slice",
    ),
}
