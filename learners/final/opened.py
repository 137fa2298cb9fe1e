"""A final model of a folder, ready to predict: its networks, how to ask them, and what to mend."""

from dataclasses import dataclass, replace
from pathlib import Path

from learners.prediction.committee import Committee
from learners.training.checkpoint import FinalFacts, load_members, plan_of_card, read_card
from learners.training.plan import Plan
from learners.training.targets import Classes


@dataclass(frozen=True)
class OpenedModel:
    """A final model of a folder, ready to predict."""

    network: Committee
    plan: Plan
    classes: Classes


def opened(folder: Path, device: str, class_ids: tuple[int, ...] = ()) -> OpenedModel:
    """With those of its classes that are among these; without any, with all. Raises ValueError."""
    card = read_card(folder)
    final, ids = (
        card.final or FinalFacts(),
        tuple(c for c in card.class_ids if c in class_ids or not class_ids),
    )
    plan = plan_of_card(replace(card, network=replace(card.network, classes=len(ids) + 1)), device)
    return OpenedModel(Committee(load_members(folder, plan.device, ids), final.mirror), plan, Classes(ids))
