"""The networks of a training under way, and how far they came."""

import copy
from dataclasses import dataclass, field

from models.networks import UNet


@dataclass
class TrainingState:
    """The student learns; the teacher is its average, is what people see, and never gets a gradient."""

    student: UNet
    teacher: UNet
    steps: int = 0  # since it began, or since a class was added
    peers: dict[str, UNet] = field(default_factory=dict)  # networks that learn beside it and are never shown

    @property
    def learning(self) -> list[UNet]:
        return [self.student, *self.peers.values()]

    @classmethod
    def fresh(cls, network: UNet) -> "TrainingState":
        teacher = copy.deepcopy(network).eval().requires_grad_(False)
        return cls(network, teacher)
