"""What a round is given of the fills: files that stay as they are while it runs, whatever is filled anew meanwhile."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from learners.spec import Fill
from storage.predictions import PredictionRow
from storage.rounds import Rounds
from storage.store import Store


class RoundFills:
    """Links the newest fill of an image into the rounds' folder of targets."""

    def __init__(self, store: Store, rounds: Rounds, directory: Path) -> None:
        self._store, self._rounds, self._directory = store, rounds, directory

    def newest(self, image_id: int) -> PredictionRow | None:
        rows = self._store.predictions.of(image_id)
        return next((row for row in reversed(rows) if row.kind == "propagated"), None)

    def of(self, image_id: int, learner: str) -> tuple[Fill, int] | None:
        """The newest fill, and the newest label that it knows; None where there is none."""
        row = self.newest(image_id)
        if row is None:
            return None
        try:
            paths = [self._linked(row, path) for path in (row.classes_path, row.confidence_path)]
        except FileNotFoundError:  # a newer one has just taken its place
            return None
        return Fill(paths[0], paths[1], self.rounds_since(learner, row.seen_label)), row.seen_label

    def rounds_since(self, learner: str, seen_label: int) -> int:
        """How many rounds of this learner could have trained on a fill of that age."""
        done = [r for r in self._rounds.of(learner) if r.kind == "train" and r.status == "done"]
        return sum(row.seen_label >= seen_label for row in done)

    def names(self, image_ids: Sequence[int]) -> set[str]:
        """Of the files in use."""
        rows = [row for image_id in image_ids if (row := self.newest(image_id))]
        return {self._name(row, path) for row in rows for path in (row.classes_path, row.confidence_path)}

    def _linked(self, row: PredictionRow, path: Path) -> Path:
        link = self._directory / self._name(row, path)
        if not link.exists():
            try:
                os.link(path, link)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without links
                shutil.copyfile(path, link)
        return link

    def _name(self, row: PredictionRow, path: Path) -> str:
        return f"fill-{row.image_id}-{row.id}-{path.suffixes[0].lstrip('.')}.npy"
