"""A round of the learner "tags": read the tags, guess masks, then train the ordinary network on the guesses."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from learners.give_way import give_way
from learners.methods.tags.affinity import at_side, responses, transition, walk
from learners.methods.tags.classifier import (
    UNKNOWN,
    ClassifierHead,
    TaggedSlices,
    fit,
    load_head,
    maps_of,
    save_head,
)
from learners.methods.tags.features import Places
from learners.methods.tags.masks import SliceGuess, at_size, guess_of, nothing_there, prompted
from learners.methods.tags.needs import missing_tags, teachable, usable
from learners.progress import STOP_FILE, ProgressReport
from learners.rounds.own_round import PreparedRound, train_prepared
from learners.spec import Example, RoundResult, RoundSpec, Unready, WeakLabels
from learners.training.budget import Budget
from learners.training.data import ImageReader
from learners.training.pictures import picture_of
from learners.training.plan import device_of
from learners.training.round_cache import round_cache
from learners.training.targets import Classes
from models import on_this_machine
from models.prompt import PromptModel
from storage.array_cache import Arrays
from storage.arrays import UNLABELLED, TornFile, open_npy, plane, write_npy

HEAD = "tags.safetensors"
READING, GUESSING, TRAINING = (
    0.25,
    0.35,
    0.4,
)  # shares of a round's seconds; what is left over trains the network
MAX_SLICES = 1500  # slices that are read in one round


@dataclass(frozen=True)
class Spot:
    """A tagged slice."""

    case: ImageReader
    axis: int
    index: int
    present: tuple[float, ...]  # for each class: 1, 0, UNKNOWN

    @property
    def name(self) -> str:
        return f"{self.case.example.image_id}-{self.axis}-{self.index}"


def run(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong."""
    return train_prepared(spec, guessed)


def guessed(spec: RoundSpec) -> PreparedRound:
    """The same round with a guess for every tagged slice that there was time for, and the seconds that are left."""
    report = ProgressReport(spec.directory)
    taught = teachable(spec.examples, spec.class_ids)
    if not taught:
        raise Unready(missing_tags(spec.examples, spec.class_ids) or "")
    spots = list(_spots(spec, taught))
    np.random.default_rng(spec.seed).shuffle(spots)  # type: ignore[arg-type]
    reader = TagReader(spec, taught, report)
    head = reader.read(spots[:MAX_SLICES])
    found = on_this_machine(spec.prompts)
    guesses = reader.guess(head, spots, found.model)
    examples = tuple(_with_guess(spec, e, guesses.get(e.image_id, [])) for e in spec.examples)
    seconds = max(spec.seconds - reader.spent, spec.seconds * TRAINING)
    return PreparedRound(replace(spec, examples=examples, seconds=seconds), (found.why,) if found.why else ())


class TagReader:
    """The two steps between tags and guesses. What only depends on the pixels is kept in the project."""

    def __init__(self, spec: RoundSpec, taught: tuple[int, ...], report: ProgressReport) -> None:
        self._spec, self._taught, self._report = spec, taught, report
        self._kept = round_cache(spec)
        self._places = Places(device_of(spec.device))
        self._key = self._places.key[:12]
        self._stop = spec.directory / STOP_FILE
        self.spent = 0.0  # seconds; looking does not count, as loading does not elsewhere

    def read(self, spots: Sequence[Spot]) -> ClassifierHead:
        """A classifier of these slices; it goes on from the last round's where there is one."""
        spec = self._spec
        seen = []
        for number, spot in enumerate(spots):
            give_way()
            self._report.say("looking at slices", step=number)
            seen.append(self.features(spot))
        smallest = min(f.shape[-1] for f in seen)
        features = np.stack([_cells(f, smallest) for f in seen])
        tagged = TaggedSlices(features, np.array([s.present for s in spots], np.float32))
        torch.manual_seed(spec.seed)  # a fresh head starts from the round's seed
        head = load_head(spec.goes_on_from / HEAD if spec.goes_on_from else None, len(self._taught))
        budget = Budget(spec.seconds * READING, spec.steps, self._stop)

        def left(step: int, loss: float) -> bool:
            budget.step = step
            if step % 10 == 0:
                self._report.say("reading tags", step=step, loss=loss, seconds_left=budget.seconds_left)
            return budget.left()

        fit(head, tagged, spec.seed, left)
        self.spent += budget.spent
        save_head(spec.directory / HEAD, head)
        return head

    def guess(
        self, head: ClassifierHead, spots: Sequence[Spot], model: PromptModel
    ) -> dict[int, list[tuple[Spot, SliceGuess]]]:
        """By image: slices without any class at once, the others one by one while there is time."""
        budget = Budget(self._spec.seconds * GUESSING, None, self._stop)
        everything = len(self._taught) == len(self._spec.class_ids)
        out: dict[int, list[tuple[Spot, SliceGuess]]] = {}
        for spot in spots:
            made = None
            if everything and not any(spot.present):
                made = nothing_there(_shape(spot))
            elif 1 in spot.present and budget.left():
                made = self._one(head, spot, model)
                budget.step += 1
                self._report.say("guessing masks", step=budget.step, seconds_left=budget.seconds_left)
            if made is not None:
                out.setdefault(spot.case.example.image_id, []).append((spot, made))
        self.spent += budget.spent
        return out

    def features(self, spot: Spot) -> NDArray[np.float16]:
        """(CHANNELS, h, w) of a slice, made once."""

        def look() -> Arrays:
            return {"features": self._places.features(picture_of(spot.case, spot.axis, spot.index))}

        return self._kept.get_or_make(f"{spot.name}.{self._key}.features", look)["features"]

    def _one(self, head: ClassifierHead, spot: Spot, model: PromptModel) -> SliceGuess:
        """Maps, the walk along the prompt model's masks, prompts from the walked map, and what they agree on."""
        shape = _shape(spot)
        maps, chance = maps_of(head, self.features(spot))
        embedding = model.encode(
            picture_of(spot.case, spot.axis, spot.index)
        )  # once, for the grid and the boxes
        name = hashlib.sha256(model.model_id.encode()).hexdigest()[:12]
        answers = self._kept.get_or_make(
            f"{spot.name}.{name}.answers", lambda: {"answers": responses(model, embedding)}
        )["answers"]
        there = [k for k, present in enumerate(spot.present) if present == 1]
        walked = at_size(walk(at_side(maps[there]), transition(answers)), shape)
        masks = np.stack([prompted(model, embedding, one) for one in walked])
        return guess_of(walked, masks, tuple(self._taught[k] for k in there), chance[there])


def _spots(spec: RoundSpec, taught: tuple[int, ...]) -> Iterator[Spot]:
    classes, channels = Classes(spec.class_ids), max(e.channels for e in spec.examples)
    for example in spec.examples:
        said: dict[tuple[int, int], dict[int, bool]] = {}
        for tag in usable(example):
            said.setdefault((tag.axis, tag.index), {})[tag.value] = tag.present
        if not said:
            continue
        try:
            case = ImageReader(example, classes, channels)
        except TornFile:
            continue  # the round itself says so
        for (axis, index), of in said.items():
            present = tuple(float(of[value]) if value in of else UNKNOWN for value in taught)
            if any(p != UNKNOWN for p in present):
                yield Spot(case, axis, index, present)


def _with_guess(spec: RoundSpec, example: Example, made: list[tuple[Spot, SliceGuess]]) -> Example:
    """The guesses of an image as files of the round."""
    if not made:
        return example
    classes = np.full(example.shape, UNLABELLED, np.uint8)
    trust = np.zeros(example.shape, np.uint8)
    for spot, guess in made:
        plane(classes, spot.axis, spot.index)[:] = guess.classes
        plane(trust, spot.axis, spot.index)[:] = guess.trust
    paths = [spec.directory / f"guess-{kind}-{example.image_id}.npy" for kind in ("classes", "trust")]
    for path, array in zip(paths, (classes, trust)):
        write_npy(path, array)
    return replace(example, guess=WeakLabels(*paths))


def _shape(spot: Spot) -> tuple[int, int]:
    rows, columns = plane(open_npy(spot.case.example.pixels), spot.axis, spot.index).shape[:2]
    return rows, columns


def _cells(features: NDArray[np.float16], side: int) -> NDArray[np.float16]:
    """(C, side, side): large slices are seen as coarsely as small ones while the classifier is trained."""
    if features.shape[-1] == side:
        return features
    flat = features.astype(np.float32).transpose(1, 2, 0)
    return cv2.resize(flat, (side, side), interpolation=cv2.INTER_AREA).transpose(2, 0, 1).astype(np.float16)
