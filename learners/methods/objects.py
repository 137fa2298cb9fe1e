"""Supervised training that is also asked what tells touching objects apart, for classes whose objects have numbers.

Beside the classes the network predicts how deep a voxel lies in its object and how near it is to its centre (micro-sam,
Archit et al., 2025), or the flow to the centre (Cellpose, Stringer et al., 2021). Where no object has a number it has
labels alone to learn from, as Supervised has.
"""

from learners.objects.scale import DISTANCES, FLOWS
from learners.training.losses import Sample
from learners.training.trainer import Part, Recipe, StepContext


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """No copy-paste: it would cut objects apart, and what is taught of them would be true no more."""
    return [Part(context.views.strong(labelled, context.rng))]


def make() -> Recipe:
    return Recipe(mix=mix, told_by=DISTANCES)


def flows() -> Recipe:
    return Recipe(mix=mix, told_by=FLOWS)
