"""What the page says of its models in a session, beside what is true of the same models."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annotator.learning.quality.model_quality import model_quality
from benchmarks.trust_cases import mean_dice
from storage.arrays import open_npy
from storage.store import Store

Truths = Callable[[int], NDArray[np.uint8]]


@dataclass
class Told:
    """What the page said of its models after each image, and what was true."""

    said: list[tuple[float, float]] = field(default_factory=list)  # and the truth of the same model
    new: list[tuple[float, float]] = field(default_factory=list)  # and the same on images without labels
    by_slices: list[bool] = field(default_factory=list)

    def add(self, who: tuple[Store, str], truth: Truths, new: Sequence[int]) -> None:
        """`who`: a project and its learner; `truth`: (Z, Y, X) classes of an image; `new`: images without labels."""
        store, learner = who
        quality, core = model_quality(store, learner), store.judging.core()
        if quality is None or core is None:
            return
        judging = sorted({image_id for image_id, *_ in core.places})
        scores = {image_id: self._score(store, learner, image_id, truth) for image_id in (*judging, *new)}
        self.said.append((quality.dice, float(np.nanmean([scores[i] for i in judging]))))
        if new:
            self.new.append((quality.dice, float(np.nanmean([scores[i] for i in new]))))
        self.by_slices.append(any((image_id, -1, -1) not in store.rounds.held_out() for image_id in judging))
        others = f", of new images {self.new[-1][1]:.3f}" if new else ""
        print(f"said {quality.dice:.3f}, true {self.said[-1][1]:.3f}{others}, by {judging}", flush=True)

    def rows(self) -> Iterator[tuple[str, float, int]]:
        """Metric, value and how many times the page said something."""
        if not self.said:
            return
        said, true = np.array(self.said).T
        yield "said", float(said.mean()), len(said)
        yield "held-out truth", float(true.mean()), len(said)
        yield "off", float(np.abs(said - true).mean()), len(said)
        yield "said by slices", float(np.mean(self.by_slices)), len(said)
        if self.new:
            yield "new images", float(np.array(self.new)[:, 1].mean()), len(self.new)

    @staticmethod
    def _score(store: Store, learner: str, image_id: int, truth: Truths) -> float:
        """Of what the learner made of it, before labels corrected that."""
        row = store.predictions.newest(image_id, learner)
        return float("nan") if row is None else mean_dice(open_npy(row.uncorrected[0]), truth(image_id))
