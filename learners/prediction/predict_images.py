"""Predict the images that people want, in their order, with what the rankers need to know of each."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from learners.objects.tallies import ObjectTallies, tallies
from learners.prediction.committee import Committee
from learners.prediction.evaluation import Evaluation
from learners.prediction.label_guards import save_guards
from learners.prediction.learnt import found_again
from learners.prediction.metrics import stability
from learners.prediction.predict import Files, Predicted, Predictor, predict, predicted
from learners.prediction.sensible import Sense
from learners.prediction.sums import Sums
from learners.progress import STOP_FILE, ProgressReport, classes_file, confidence_file, objects_file
from learners.rankers.pool import Pool, join, write_pool
from learners.spec import ImageScore, RoundSpec
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from models.networks import UNet
from storage.arrays import TornFile, open_npy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchPredictor:
    """One network and what is needed to predict with it."""

    spec: RoundSpec
    plan: Plan
    classes: Classes
    network: UNet | Committee | Predictor
    snapshots: Sequence[UNet] = ()  # of its training, to see where they disagree and what still changes
    notes: list[str] = field(default_factory=list)  # sentences for the person, as they come up

    def run(
        self, cases: Sequence[ImageReader], report: ProgressReport, judged: Evaluation
    ) -> tuple[tuple[ImageScore, ...], int]:
        """Images in the order asked for, until the time is over, the first always; and how many are left. `judged` is
        of this network."""
        report.judged(judged.images, judged.reliability)
        by_id = {case.example.image_id: case for case in cases}
        wanted = [by_id[i] for i in self.spec.predict if i in by_id]
        again = found_again(self._predicted, cases, self.classes.ids, judged, self._stopped)
        sense = Sense(cases, self.spec, again)
        save_guards(self.spec.directory, sense.guards)
        scores: list[ImageScore] = []
        pools: list[Pool] = []
        started = time.monotonic()
        for case in wanted:
            left = self.spec.predict_seconds - (time.monotonic() - started)
            if scores and (left <= 0 or self._stopped()):
                break
            score, pool = self._one_or_nothing(case, sense)
            scores.append(score)
            pools += [pool] if pool else []
            report.done(score, judged.dice, left)
        if pools:
            write_pool(self.spec.directory / "pool.npz", join(pools))
        return tuple(scores), len(wanted) - len(scores)

    def _stopped(self) -> bool:
        return (self.spec.directory / STOP_FILE).exists()

    def _predicted(self, case: ImageReader) -> Predicted | None:
        try:
            return predicted(self.network, case, self.plan, self.classes)
        except Exception as error:
            if out_of_memory(error):
                raise
            log.warning("image %d tells nothing of the model", case.example.image_id, exc_info=error)
            return None

    def _one_or_nothing(self, case: ImageReader, sense: Sense) -> tuple[ImageScore, Pool | None]:
        """One odd image must not cost the round: nothing is proposed for it, and a note says why."""
        try:
            return self._one(case, sense)
        except Exception as error:
            if out_of_memory(error):
                raise
            image_id = case.example.image_id
            log.warning("image %d was left out of a prediction", image_id, exc_info=error)
            text = str(error).split("\n")[0][:200].rstrip(".")
            self.notes.append(f"image {image_id} was left out, because it cannot be predicted ({text})")
            return ImageScore(image_id, None, None, "unreadable"), None

    def _one(self, case: ImageReader, sense: Sense) -> tuple[ImageScore, Pool]:
        image_id, folder = case.example.image_id, self.spec.directory
        files = Files(*(name(folder, image_id) for name in (classes_file, confidence_file, objects_file)))
        sums = predict(self.network, case, self.plan, self.classes, files, self.snapshots)
        proposed = open_npy(files.classes)
        settled = sums.members.stability if sums.members else self._stability(case, proposed)
        score = ImageScore(image_id, sums.claim.said, settled, sense.against(case, proposed, sums.claim.said))
        path = objects_file(folder, image_id)
        numbers = open_npy(path) if path.exists() else None
        told = tallies(proposed, open_npy(files.confidence), numbers)
        return score, pool_of(case, sums, score, told)

    def _stability(self, case: ImageReader, now: NDArray[np.uint8]) -> float | None:
        """Against the model before."""
        if case.example.pseudo is None:
            return None
        try:
            return stability(open_npy(case.example.pseudo.classes), now)
        except TornFile:
            return None


def out_of_memory(error: BaseException) -> bool:
    """Whether a smaller round may do."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "can't allocate memory" in str(error) or "out of memory" in str(error)


def pool_of(case: ImageReader, sums: Sums, score: ImageScore, told: ObjectTallies) -> Pool:
    """A row for the picture, or for every slice of a volume in each plane."""
    shape, image_id = case.example.shape, case.example.image_id
    axes = (0, 1, 2) if shape[0] > 1 else (0,)
    refs = np.concatenate([[(image_id, axis, i) for i in range(shape[axis])] for axis in axes])

    def column(parts: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
        return np.concatenate([parts[axis] for axis in axes]).astype(np.float32)

    area = np.concatenate([np.full(shape[a], np.prod(shape) / shape[a]) for a in axes])
    rows = len(refs)
    unknown = np.full(rows, np.nan, np.float32)
    features = (sums.features / max(1, sums.seen)).astype(np.float16)
    return Pool(
        refs=refs.astype(np.int64),
        entropy=column(sums.entropy),
        doubt=column(sums.doubt),
        per_class=column(sums.per_class)[:, 1:],
        foreground=(column(sums.foreground) / area).astype(np.float32),
        contour=column(sums.contour),
        information=column(sums.members.information) if sums.members else unknown,
        stability=unknown if score.stability is None else np.full(rows, score.stability, np.float32),
        expected=unknown,  # a claim is no expectation; who calibrates it fills it in
        unsure=column(told.unsure),
        sizes=column(told.sizes),
        features=np.repeat(features[None], rows, 0),
    )
