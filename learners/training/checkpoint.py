"""A model on disk: safetensors beside a JSON card. Loading runs no code, whoever made the file."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from learners.objects.scale import ObjectScale
from learners.spec import CARD, MAX_FOLDS
from learners.training.bounded import read_json
from learners.training.data import PERCENTILES
from learners.training.plan import Plan, plan_to_predict
from learners.training.rare_objects import RareObjects
from learners.training.state import TrainingState
from learners.training.tidying import Tidying
from models.networks import NetworkSpec, UNet
from storage.arrays import write_bytes

WEIGHTS, STUDENT = "model.safetensors", "student.safetensors"
VERSION = 1


@dataclass(frozen=True)
class FinalFacts:
    """What makes more of a model than one network's bare answer."""

    members: int = 1  # networks whose answers are averaged
    mirror: tuple[int, ...] = ()  # axes of the volume along which each is asked mirrored too
    tidy: Tidying = Tidying()

    def as_json(self) -> dict[str, Any]:
        return {"members": self.members, "mirror": self.mirror, "tidy": self.tidy.as_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "FinalFacts":
        """Raises ValueError, TypeError, KeyError or AttributeError for what is none."""
        members, mirror = int(values["members"]), tuple(int(axis) for axis in values["mirror"])
        if not 1 <= members <= MAX_FOLDS or not set(mirror) <= {0, 1, 2}:
            raise ValueError(f"a final model has 1 to {MAX_FOLDS} networks and three axes, got {values}")
        return cls(members, mirror, Tidying.from_json(values["tidy"]))


@dataclass(frozen=True)
class Card:
    """What must be known to use a model or to go on training it."""

    network: NetworkSpec
    class_ids: tuple[int, ...]  # channel i + 1 is this class
    spacing_mm: tuple[float, ...]
    learner: str
    steps: int = 0
    dice: float | None = None  # on held-out labels, when it was made
    per_class: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0  # of training, over all rounds
    rounds: int = 0  # of training
    spacing_known: bool = False  # images of another spacing are brought to it
    rare: RareObjects | None = None  # pictures are shrunk, and few objects are proposed on each
    objects: ObjectScale | None = None  # of classes whose objects are told apart
    tidy: Tidying = Tidying()  # what is mended in whole class maps
    final: FinalFacts | None = None  # several networks, or more than their bare answer

    @property
    def brought_to_mm(self) -> tuple[float, ...] | None:
        """The spacing that images are brought to; None where they stay as they are."""
        return self.spacing_mm if self.spacing_known else None

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "network": self.network.as_json(),
            "class_ids": self.class_ids,
            "spacing_mm": self.spacing_mm,
            "normalisation": {"percentiles": PERCENTILES, "to": [0, 1], "clip": [-0.2, 1.2]},
            "learner": self.learner,
            "steps": self.steps,
            "dice": self.dice,
            "per_class": {str(k): v for k, v in self.per_class.items()},
            "seconds": self.seconds,
            "rounds": self.rounds,
            "spacing_known": self.spacing_known,
            "rare": None if self.rare is None else self.rare.as_json(),
            "objects": None if self.objects is None else self.objects.as_json(),
            "tidy": self.tidy.as_json(),
            "final": None if self.final is None else self.final.as_json(),
            "torch": torch.__version__,
        }


def save_model(
    directory: Path, state: TrainingState, card: Card, snapshots: Sequence[dict[str, Tensor]] = ()
) -> None:
    """Weights first, then the card: a directory with a card is a whole model."""
    peers = [(peer_file(name), peer) for name, peer in state.peers.items()]
    networks = [(WEIGHTS, state.teacher), (STUDENT, state.student), *peers]
    stages = [(snapshot_file(i), weights) for i, weights in enumerate(snapshots)]
    for name, weights in [*((name, network.state_dict()) for name, network in networks), *stages]:
        save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, directory / name)
    write_card(directory, card)


def write_card(directory: Path, card: Card) -> None:
    """After the weights: a directory with a card is a whole model."""
    write_bytes(directory / CARD, json.dumps(card.as_json(), indent=1).encode())


def read_card(directory: Path) -> Card:
    """Raises ValueError where it is missing or says nothing sensible."""
    try:
        values = read_json(directory / CARD)
        card = Card(
            network=NetworkSpec.from_json(values["network"]),
            class_ids=tuple(int(c) for c in values["class_ids"]),
            spacing_mm=tuple(float(s) for s in values["spacing_mm"]),
            learner=str(values["learner"]),
            steps=int(values["steps"]),
            dice=values["dice"],
            per_class={int(k): float(v) for k, v in values["per_class"].items()},
            seconds=float(values["seconds"]),
            rounds=int(values.get("rounds", 0)),
            spacing_known=bool(values.get("spacing_known", False)),
            rare=RareObjects.from_json(rare) if (rare := values.get("rare")) else None,
            objects=ObjectScale.from_json(objects) if (objects := values.get("objects")) else None,
            tidy=Tidying.from_json(values.get("tidy", {})),
            final=FinalFacts.from_json(final) if (final := values.get("final")) else None,
        )
        if card.objects and not (card.network.apart and set(card.objects.class_ids) <= set(card.class_ids)):
            raise ValueError("its classes with objects are none of its own")
        return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the model in {directory.name} cannot be read ({error}); train a new one"
        ) from error


def plan_of_card(card: Card, device: str) -> Plan:
    """To predict with a model as it is. Raises ValueError where the wanted device is not on this machine."""
    plan = plan_to_predict(card.network, card.brought_to_mm, device, card.rare)
    tidy = card.final.tidy if card.final else card.tidy
    return replace(plan, objects=card.objects, tidy=tidy if tidy.classes else None)


def load_network(directory: Path, device: str = "cpu", weights: Path | None = None) -> UNet:
    """The published weights, or those of another file for the same network, ready to predict. Raises ValueError."""
    spec, file = read_card(directory).network, weights or directory / WEIGHTS
    _check_size(spec, file)
    network = UNet(spec)
    _fill(network, file)
    return network.to(device).eval()


def load_state(
    directory: Path, network: NetworkSpec, class_ids: tuple[int, ...], device: str
) -> TrainingState | None:
    """Student and teacher to go on with. A class that is new since starts untrained, and with it the count of steps;
    None where the network is another one, so that nothing can be carried over. Raises ValueError for a damaged file."""
    card = read_card(directory)
    if _body(card.network) != _body(network):
        return None
    networks = []
    for name in (STUDENT, WEIGHTS):
        old, new = UNet(card.network), UNet(network)
        _fill(old, directory / name if (directory / name).exists() else directory / WEIGHTS)
        networks.append(_adopt(new, old.state_dict(), card.class_ids, class_ids).to(device))
    steps = card.steps if set(class_ids) <= set(card.class_ids) else 0
    return TrainingState(networks[0], networks[1].eval().requires_grad_(False), steps)


def member_file(number: int) -> str:
    """Of a final model's networks, from 0 on."""
    return f"member-{number}.safetensors" if number else WEIGHTS


def weight_files(card: Card) -> tuple[str, ...]:
    """Those that a model predicts with."""
    return tuple(member_file(number) for number in range(card.final.members if card.final else 1))


def load_members(directory: Path, device: str, class_ids: tuple[int, ...] | None = None) -> tuple[UNet, ...]:
    """The networks that a model consists of, ready to predict; without `class_ids` for its own classes. Raises
    ValueError."""
    card = read_card(directory)
    ids = card.class_ids if class_ids is None else class_ids
    spec, networks = replace(card.network, classes=len(ids) + 1), []
    for name in weight_files(card):
        old, file = UNet(card.network), directory / name
        _check_size(card.network, file)
        _fill(old, file)
        networks.append(_adopt(UNet(spec), old.state_dict(), card.class_ids, ids).to(device).eval())
    return tuple(networks)


def peer_file(name: str) -> str:
    return f"peer-{name}.safetensors"


def load_peers(
    directory: Path | None, peers: dict[str, NetworkSpec], class_ids: tuple[int, ...], device: str
) -> dict[str, UNet]:
    """The networks that a method trains beside its own, fresh where the model in `directory` has no such one."""
    networks = {name: UNet(network) for name, network in peers.items()}
    card = None if directory is None else read_card(directory)
    for name, network in networks.items():
        if directory is not None and card is not None and (directory / peer_file(name)).exists():
            old = UNet(replace(network.spec, classes=len(card.class_ids) + 1))
            with contextlib.suppress(ValueError):  # of another shape: it starts anew
                _fill(old, directory / peer_file(name))
                _adopt(network, old.state_dict(), card.class_ids, class_ids)
    return {name: network.to(device) for name, network in networks.items()}


def snapshot_file(number: int) -> str:
    return f"snapshot-{number}.safetensors"


def load_snapshots(
    directory: Path, network: NetworkSpec, class_ids: tuple[int, ...], device: str
) -> list[UNet]:
    """Earlier stages of a model's training, as far as they were kept, ready to predict. Raises ValueError."""
    networks: list[UNet] = []
    while (path := directory / snapshot_file(len(networks))).exists():
        card = read_card(directory)
        old = UNet(card.network)
        _fill(old, path)
        networks.append(_adopt(UNet(network), old.state_dict(), card.class_ids, class_ids).to(device).eval())
    return networks


def _body(network: NetworkSpec) -> tuple[object, ...]:
    described = replace(network, classes=2, apart=0)
    return tuple(described.as_json().values())


def _adopt(new: UNet, weights: dict[str, Tensor], old_ids: tuple[int, ...], ids: tuple[int, ...]) -> UNet:
    """Everything but the heads as it is; of the head the rows of classes that both know. What tells objects apart is
    taken where both networks are asked it."""
    state = new.state_dict()
    rows = [(0, 0)] + [(old_ids.index(c) + 1, i + 1) for i, c in enumerate(ids) if c in old_ids]
    for name, value in weights.items():
        if not name.startswith(("head.", "sides.")):
            if name in state and state[name].shape == value.shape:
                state[name] = value
            continue
        for before, now in rows:
            state[name][now] = value[before]
    new.load_state_dict(state)
    return new


def _check_size(spec: NetworkSpec, weights: Path) -> None:
    """Before memory is asked for: a card may describe a network of any size. Raises ValueError."""
    with torch.device("meta"):
        needed = sum(value.numel() * value.element_size() for value in UNet(spec).state_dict().values())
    if weights.is_file() and needed > weights.stat().st_size:
        raise ValueError(f"the weights {weights.name} do not fit their card (they are too short for it)")


def _fill(network: UNet, path: Path) -> None:
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch raise types of their own
        raise ValueError(f"the weights {path.name} do not fit their card ({type(error).__name__})") from error
