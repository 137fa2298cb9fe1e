"""A training written down now and then, so that one of days survives a kill: the next process goes on from there."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from learners.training.budget import Budget
from learners.training.state import TrainingState

SECONDS = 60.0  # of training that a kill may cost
SLOW = 20.0  # writing may take one second of so many
CHECKPOINT = "checkpoint.pt"


@dataclass
class Keeper:
    """Of one training; `identity` says what is trained, and another one starts anew."""

    directory: Path
    identity: dict[str, Any]
    seconds: float = field(default_factory=lambda: SECONDS)
    resumed: bool = False  # it went on from what an earlier process wrote
    _kept_at: float = field(default_factory=time.monotonic)
    _took: float = 0.0

    def restore(self, state: TrainingState, optimiser: torch.optim.Optimizer, budget: Budget) -> None:
        """Nothing where there is no file, or one of another training."""
        kept = self._read()
        if kept is None:
            return
        for network, weights in zip(_networks(state), kept["networks"], strict=True):
            network.load_state_dict(weights)
        optimiser.load_state_dict(kept["optimiser"])
        state.steps = kept["steps"]
        budget.go_on(kept["spent"], kept["step"])
        self.resumed = True

    def keep_if_due(self, state: TrainingState, optimiser: torch.optim.Optimizer, budget: Budget) -> None:
        """By time, at once where somebody asked to stop, and at the end."""
        due = time.monotonic() - self._kept_at >= max(self.seconds, SLOW * self._took)
        if due or budget.stopped or budget.progress >= 1:
            self.keep(state, optimiser, budget)

    def keep(self, state: TrainingState, optimiser: torch.optim.Optimizer, budget: Budget) -> None:
        """All or nothing: a new file takes the place of the old one."""
        began = time.monotonic()
        kept = dict(networks=[network.state_dict() for network in _networks(state)],
                    optimiser=optimiser.state_dict(), steps=state.steps, step=budget.step,
                    spent=budget.spent, identity=self.identity)  # fmt: skip
        temporary = self.directory / f"{CHECKPOINT}.tmp"
        with temporary.open("wb") as file:
            torch.save(kept, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.directory / CHECKPOINT)
        self._kept_at = time.monotonic()
        self._took = self._kept_at - began

    def forget(self) -> None:
        """What was trained is a model now."""
        (self.directory / CHECKPOINT).unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        path = self.directory / CHECKPOINT
        if not path.exists():
            return None
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return kept if kept["identity"] == self.identity else None


def _networks(state: TrainingState) -> list[torch.nn.Module]:
    return [state.student, state.teacher, *state.peers.values()]
