"""What a fill is asked for: the slices and proposals of today's labels, and what is known, as files for its process."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from annotator.labels.label_cache import LabelCache
from annotator.labels.labelled_slices import labelled_slices, mends
from annotator.prompting.selection import prompt_choice
from learners.objects.number_files import NumberFiles
from learners.propagate.contract import LabelledSlice
from learners.propagate.fused import TRUST
from learners.propagate.process import FillBefore, FillSpec, PriorFiles
from storage.arrays import BACKGROUND, UNLABELLED, plane, write_npy
from storage.fold import Folded
from storage.formats.grid import shows_moments
from storage.predictions import PredictionRow, link_or_copy
from storage.rows import ImageRow, LabelRow
from storage.store import Store

REDRAWN = "redrawn"  # the producer whose proposals are another's with new outlines
AUTOMATIC = "automatic_masks"  # the producer of objects that the prompt model found by itself
MIN_TRUST = 0.2  # in a proposal that is expected to be worthless
SECONDS = 60.0  # a fill that takes longer stops with the best so far
REDRAW_SECONDS = 600.0  # and what was not redrawn by then stays as it was
FIND_SECONDS = 180.0  # and what was not found by then is clicked
SLAB = 16  # slices


@dataclass(frozen=True)
class AskedFill:
    """A fill as it is asked for: proposals to correct, and the clock of the labels."""

    spec: FillSpec
    rows: list[PredictionRow]  # what learners propose, as `spec.priors`
    rev: int


class FillRequests:
    """Called with the lock of the label cache held, so that labels and clock are of one moment."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def fill(self, image_id: int, producer: str, *, decides: bool) -> AskedFill | None:
        """By today's labels, with what is known on disk where a process needs it; None where all is said."""
        image, folded = self._store.image(image_id), self._folds.get(image_id)
        if folded.unsaid == 0:
            return None
        labels = self._store.labels(image_id)
        spec = self._spec(image, producer, labelled_slices(labels))
        rows = priors_of(self._store, image_id)
        priors = tuple(self._prior(row, labels) for row in rows) if spec.slices else ()
        drawn = image.is_volume and _shows_object(folded, spec.slices)
        spec = self._going_on(replace(spec, priors=priors, fills=drawn, decides=decides), labels)
        if drawn:
            spec = replace(spec, numbers=self._numbers(image, spec, folded))
        if drawn or priors:
            _write_known(spec.known, folded)
        return AskedFill(spec, rows, folded.rev)

    def redraw(self, row: PredictionRow) -> FillSpec:
        """New outlines for this proposal as it stands, whatever a fill corrects in it meanwhile. Raises
        FileNotFoundError where that is done already."""
        spec = self._spec(self._store.image(row.image_id), REDRAWN, ())
        classes, confidence = (
            path.with_name(f"prior-{path.name}") for path in (spec.classes_to, spec.confidence_to)
        )
        files = PriorFiles(classes, confidence, trust_in(row), spec.classes_to, spec.confidence_to)
        spec = replace(spec, redraws=files, seconds=REDRAW_SECONDS)
        try:
            link_or_copy(row.classes_path, classes)
            link_or_copy(row.confidence_path, confidence)
            return spec
        except BaseException:
            remove_files(spec)
            raise

    def find(self, image_id: int, class_id: int) -> FillSpec:
        """The objects of a picture, where nobody labelled."""
        spec = self._spec(self._store.image(image_id), AUTOMATIC, ())
        numbers_to = _beside(spec.known, "numbers")
        with self._folds.lock:
            _write_known(spec.known, self._folds.get(image_id))
        return replace(spec, finds=class_id, seconds=FIND_SECONDS, numbers_to=numbers_to)

    def _numbers(self, image: ImageRow, spec: FillSpec, folded: Folded) -> NumberFiles | None:
        """None where no object has a number, neither by people nor by a learner."""
        numbered = folded.instances is not None and bool(folded.instances.any())
        if not numbered and all(prior.objects is None for prior in spec.priors):
            return None
        stated, to, parents = (_beside(spec.known, name) for name in ("stated", "numbers", "parents"))
        if numbered and folded.instances is not None:
            write_npy(stated, folded.instances)
        film, first = shows_moments(image.geometry), self._store.next_instance(image.id)
        return NumberFiles(stated if numbered else None, first, film, to, parents)

    def _going_on(self, spec: FillSpec, labels: list[LabelRow]) -> FillSpec:
        """With the fill on screen, where labels alone are laid over it."""
        last = self._store.predictions.newest(spec.image_id, spec.propagator)
        spec = replace(spec, alone=last is not None and last.prior is None)
        if last is None or (spec.priors and not spec.alone):
            return spec
        return replace(spec, before=self._before(last, labels, spec.slices))

    def _spec(self, image: ImageRow, producer: str, slices: tuple[LabelledSlice, ...]) -> FillSpec:
        folder, uid = self._store.predictions.directory, uuid.uuid4().hex
        return FillSpec(
            image_id=image.id,
            propagator=producer,
            pixels=image.path,
            known=folder / f"{uid}.known.new.npy",
            slices=slices,
            spacing_mm=image.spacing_mm or (1.0, 1.0, 1.0),
            window=image.window,
            seconds=SECONDS,
            classes_to=folder / f"{uid}.classes.new.npy",
            confidence_to=folder / f"{uid}.confidence.new.npy",
            prompts=prompt_choice(self._store),
        )

    def _prior(self, row: PredictionRow, labels: list[LabelRow]) -> PriorFiles:
        unseen = _labelled_after(labels, row.seen_label)
        folder, uid = self._store.predictions.directory, uuid.uuid4().hex
        classes, confidence = row.uncorrected
        classes_to, confidence_to = folder / f"{uid}.classes.new.npy", folder / f"{uid}.confidence.new.npy"
        files = PriorFiles(classes, confidence, trust_in(row), classes_to, confidence_to, unseen)
        return replace(files, objects=row.objects_path)

    def _before(
        self, last: PredictionRow, labels: list[LabelRow], slices: tuple[LabelledSlice, ...]
    ) -> FillBefore | None:
        """The fill on screen; None where a label that made it was taken back."""
        if self._store.taken_back_since(last.image_id, last.seen_label):
            return None
        newer = {(row.axis, row.index) for row in labels if row.id > last.seen_label and not mends(row)}
        found = tuple(s for s in slices if (s.axis, s.index) in newer)
        return FillBefore(last.classes_path, last.confidence_path, found)


def remove_files(spec: FillSpec) -> None:
    """Those of a request and of its answer, when it is over."""
    priors = [path for files in spec.priors for path in (files.classes_to, files.confidence_to)]
    redrawn = [spec.redraws.classes, spec.redraws.confidence] if spec.redraws else []
    found = [spec.numbers_to] if spec.numbers_to else []
    named = spec.numbers.made if spec.numbers else ()
    for path in (spec.known, spec.classes_to, spec.confidence_to, *priors, *redrawn, *found, *named):
        path.unlink(missing_ok=True)


def priors_of(store: Store, image_id: int) -> list[PredictionRow]:
    """What learners propose for an image, oldest first: what labels correct, and what a fill starts from."""
    return [row for row in store.predictions.of(image_id) if row.kind == "predicted"]


def trust_in(row: PredictionRow) -> float:
    """How strongly a proposal pulls against labels."""
    return TRUST if row.expected is None else max(MIN_TRUST, row.expected.dice)


def _labelled_after(labels: list[LabelRow], seen_label: int) -> tuple[LabelledSlice, ...]:
    """The slices of which nothing was said before."""
    before = {(row.axis, row.index) for row in labels if row.id <= seen_label}
    return tuple(s for s in labelled_slices(labels) if (s.axis, s.index) not in before)


def _beside(known: Path, name: str) -> Path:
    """Another file of the same request."""
    return known.with_name(known.name.replace(".known.", f".{name}."))


def _write_known(path: Path, folded: Folded) -> None:
    """What is known, slab by slab, so that a large volume is never in memory twice."""
    shape = folded.classes.shape
    try:
        with open(path, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for z in range(0, shape[0], SLAB):
                file.write(folded.known(z, min(z + SLAB, shape[0])).data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _shows_object(folded: Folded, slices: Iterable[LabelledSlice]) -> bool:
    cuts = (plane(folded.classes, each.axis, each.index) for each in slices)
    return any(((cut != BACKGROUND) & (cut != UNLABELLED)).any() for cut in cuts)
