"""What a round is given: examples with target files, what is held out, and in which order to predict."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from annotator.labels.tagging import Tagging
from annotator.learning.image_groups import read_groups
from annotator.learning.quality.core_set import todays_core
from annotator.learning.quality.held_out import WHOLE, choose_held_out
from annotator.learning.quality.unaided import unaided_slices
from annotator.learning.quality.withheld import NO_NEGATIVES
from annotator.learning.round_fills import RoundFills
from annotator.learning.target_files import TargetFiles
from annotator.learning.targets import named_channels, places_of, weak_boxes
from learners import LEARNERS
from learners.methods.tags.needs import missing_tags
from learners.spec import Example, Pseudo, Tag
from storage.arrays import BACKGROUND
from storage.judging import CoreRow
from storage.rounds import Rounds
from storage.rows import ImageRow
from storage.store import Store


@dataclass(frozen=True)
class Inputs:
    examples: tuple[Example, ...]
    class_ids: tuple[int, ...]
    mirror: tuple[int, ...]  # axes along which a mirrored image means the same
    late_ids: tuple[int, ...]  # classes first used after some slice was complete
    reads_tags: bool = False  # tags suffice: nobody needs to have drawn anything
    core: int | None = None  # the set of held-out labels that judges
    negatives: bool = True  # somebody said what is not an object, on a slice that may be trained on


def missing(inputs: Inputs) -> str | None:
    """What is missing before anything can be learned, as a sentence for the person."""
    if inputs.reads_tags:
        return missing_tags(inputs.examples, inputs.class_ids)
    if not inputs.class_ids:
        return "Label one object, then press K (slice complete) or paint some background."
    if not any(e.known is not None for e in inputs.examples):
        return "Label one slice; training starts by itself."
    return None if inputs.negatives else NO_NEGATIVES


class RoundInputs:
    """Builds them; target files are kept by image and clock, so only what changed is folded again."""

    def __init__(self, store: Store, rounds: Rounds) -> None:
        self._store, self._rounds = store, rounds
        self._directory = rounds.directory / "targets"
        self._files = TargetFiles(store, self._directory)
        self._fills = RoundFills(store, rounds, self._directory)
        self._tagging = Tagging(store)

    def build(self, producer: str, since: int, stable: Mapping[int, float] | None = None) -> Inputs:
        """`producer`: whose pseudo-labels go along, `stable` how settled it was on each image; `since`: the clock
        of its last round."""
        self._directory.mkdir(parents=True, exist_ok=True)
        first_use = self._rounds.first_use()
        labelled = self._rounds.labelled_images()
        choose_held_out(self._store, self._rounds, labelled)
        held, core = self._rounds.held_out(), todays_core(self._store)
        _, rows = self._store.images(limit=-1)
        groups = read_groups(self._store)
        examples = tuple(self._example(row, labelled.get(row.id), held, since) for row in rows)
        examples = tuple(self._judged(replace(e, group=groups.get(e.image_id, "")), core) for e in examples)
        examples = tuple(
            self._filled(replace(e, pseudo=self._pseudo(e.image_id, producer, stable or {})), producer)
            for e in examples
        )
        classes = {c.id for c in self._store.classes()} & set(first_use)
        drawn = tuple(sorted(classes - {BACKGROUND}))
        complete = self._rounds.first_complete()
        late = tuple(c for c in drawn if complete is not None and first_use[c] > complete)
        inputs = Inputs(
            examples,
            drawn,
            self._mirror(rows, labelled),
            late,
            core=core.id if core else None,
            negatives=self._negatives(producer, examples),
        )
        return self._with_tags(inputs) if LEARNERS[producer].reads_tags else inputs

    def _negatives(self, producer: str, examples: Sequence[Example]) -> bool:
        """Whether a network would see background at all. With objects alone everything would be an object for it.
        A fill says what lies around the objects; what is not a network proposes only what resembles the objects."""
        if not LEARNERS[producer].network:
            return True
        says = self._rounds.background_places()
        for e in examples:
            if e.all_held:
                continue
            fills = e.fill is not None and LEARNERS[producer].reads_fills
            if fills or any(place not in e.held for place in says.get(e.image_id, ())):
                return True
        return False

    def _with_tags(self, inputs: Inputs) -> Inputs:
        """What people tagged and what masks tell as tags; a class may be known from tags alone."""
        tags: dict[int, list[Tag]] = {}
        for (image_id, axis, index), known in self._tagging.known().items():
            told = [Tag(axis, index, value, there) for value, there in known.present.items()]
            tags.setdefault(image_id, []).extend(told)
        there = {tag.value for told in tags.values() for tag in told if tag.present}
        classes = {c.id for c in self._store.classes()} & (there | set(inputs.class_ids))
        examples = tuple(replace(e, tags=tuple(tags.get(e.image_id, ()))) for e in inputs.examples)
        return replace(inputs, examples=examples, class_ids=tuple(sorted(classes)), reads_tags=True)

    def _mirror(self, rows: Sequence[ImageRow], labelled: Mapping[int, int]) -> tuple[int, ...]:
        """Scans that know their sides are mirrored left to right alone, and not at all where classes have sides:
        a head is no tail, a left kidney no right one. Everything else looks the same from all sides."""
        known = [row.marks is not None for row in rows if row.id in labelled]
        if sum(known) * 2 <= len(known):
            return (0, 1, 2)
        words = " ".join(c.name.lower() for c in self._store.classes())
        return () if "left" in words or "right" in words else (2,)

    def forget_old(self) -> None:
        """Remove target files that no newer round will ask for; call while none runs."""
        labelled = self._rounds.labelled_images()
        current = {name for at in labelled.items() for name in self._files.names(*at)}
        current |= self._fills.names(list(labelled))
        core = self._store.judging.core()
        judging = self._files.judging(core)
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.name not in current and not path.name.endswith(judging):
                    with contextlib.suppress(OSError):  # Windows: a worker still has it open
                        path.unlink()

    def _example(
        self,
        row: ImageRow,
        rev: int | None,
        held: set[tuple[int, int, int]],
        since: int,
    ) -> Example:
        labels = self._store.labels(row.id) if rev is not None else []
        target = self._files.of_labels(row, rev, labels) if rev is not None else None
        return Example(
            image_id=row.id,
            pixels=row.path,
            shape=row.shape,
            channels=row.channels,
            spacing_mm=row.spacing_mm,
            known=target.known if target else None,
            numbers=target.numbers if target else None,
            all_held=(row.id, *WHOLE) in held,
            slices=places_of(labels),
            held=tuple((a, i) for image, a, i in held if image == row.id and (a, i) != WHOLE),
            fresh=rev is not None and rev > since,
            boxes=weak_boxes(labels),
            named=named_channels(row),
        )

    def _judged(self, example: Example, core: CoreRow | None) -> Example:
        """With what judges on a held-out image; one that is held out since then does not count yet."""
        if example.known is None or not (example.all_held or example.held):
            return example
        places = core.slices_of(example.image_id) if core else []
        labels = self._store.labels(example.image_id)
        if core and places:
            target = self._files.of_core(example, core, places)
        else:  # slices between those that teach say little
            unaided = sorted(unaided_slices(example.shape, labels)) if example.all_held else []
            target = self._files.of_held(example, labels, unaided)
        return replace(example, judge=target.known, judge_numbers=target.numbers, core=bool(places))

    def _filled(self, example: Example, learner: str) -> Example:
        """With the volume's fill, and the slices that the fill came from."""
        if example.known is None or (found := self._fills.of(example.image_id, learner)) is None:
            return example
        fill, seen = found
        labels = [label for label in self._store.labels(example.image_id) if label.id <= seen]
        return replace(example, fill=fill, slices=places_of(labels))

    def _pseudo(self, image_id: int, producer: str, stable: Mapping[int, float]) -> Pseudo | None:
        row = self._store.predictions.newest(image_id, producer)
        if row is None:
            return None
        return Pseudo(row.classes_path, row.confidence_path, stable.get(image_id, 0.0))
