"""The order in which a person is asked to label: the chosen ranker over the newest evidence."""

import numpy as np

from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import RANKER
from annotator.protocol.outgoing import Message, queue
from learners.rankers import COLD, RANKERS, WARM, rank
from learners.rankers.contract import Pick, RankRequest, Ref
from learners.rankers.pool import Pool
from storage.rows import ImageRow

SKIPPED, CHOSEN = "skipped", RANKER


class LabelQueue:
    """Thread-safe by way of the store. People skip and un-skip items; that is kept in the project.

    What is drawn by chance follows the labels that are there and `draw`: it stays until somebody labels.
    """

    def __init__(self, scheduler: Scheduler, draw: int = 0) -> None:
        self._scheduler, self._store, self._draw = scheduler, scheduler.store, draw

    def next(
        self, count: int = 20, ranker: str | None = None, *, whole_images: bool = False, search: str = ""
    ) -> Message:
        """The `queue` message: images that people put first, then what the ranker says; images that they left out, or
        whose names do not contain `search`, are not asked for. Raises LookupError for an unknown ranker."""
        learner = self._scheduler.ranked_learner()
        pool = self._scheduler.pool(learner) if learner else self._scheduler.described()
        name = self._ranker(ranker, learner is not None)
        first, pool = self._chosen_by_people(pool, search)
        picks = [*first, *rank(name, pool, self._ask(count, learner, whole_images))][:count]
        images = {p.image: self._store.image(p.image) for p in picks}
        items = [_item(pick, images[pick.image]) for pick in picks]
        return queue(name, why=RANKERS[name].good_at, items=items)

    def choose(self, ranker: str) -> None:
        """For the project; an empty name lets the app choose. Raises LookupError."""
        if ranker and ranker not in RANKERS:
            raise LookupError(f"there is no ranker {ranker!r}; there are: {', '.join(RANKERS)}")
        self._store.set_setting(CHOSEN, ranker)

    def skip(self, ref: Ref, on: bool = True) -> None:
        """Leave an item out, or take it back in."""
        skipped = self._skipped()
        skipped = skipped | {ref} if on else skipped - {ref}
        self._store.set_setting(SKIPPED, ";".join(f"{i},{a},{n}" for i, a, n in sorted(skipped)))

    def _chosen_by_people(self, pool: Pool, search: str) -> tuple[list[Pick], Pool]:
        """What people put first and nobody labelled yet, and the rows that are left for the ranker."""
        states = self._store.image_states
        out = {*states.with_trait("skip")}
        wanted = states.ids()  # the pool may hold images that were deleted since
        if search:
            wanted = {row.id for row in self._store.images(limit=-1, search=search)[1]}
        labelled = self._scheduler.rounds.labelled_images()
        first = [i for i in states.with_trait("first") if i in wanted and i not in labelled and i not in out]
        gone = np.isin(pool.refs[:, 0], [*out, *first]) | ~np.isin(pool.refs[:, 0], [*wanted])
        return [self._first(image_id, pool) for image_id in first], pool.of(~gone)

    def _first(self, image_id: int, pool: Pool) -> Pick:
        """Its slice with most doubt; where nothing is known of it, the middle one."""
        rows = np.flatnonzero(pool.refs[:, 0] == image_id)
        if len(rows):
            _, axis, index = map(int, pool.refs[rows[pool.entropy[rows].argmax()]])
        else:
            axis, index = 0, self._store.image(image_id).shape[0] // 2
        return Pick(image_id, axis, index, 1.0, "somebody put it first")

    def _ranker(self, asked: str | None, has_model: bool) -> str:
        """What was asked for, else what was chosen; where that needs a model and there is none, the first one."""
        name = asked or self._store.setting(CHOSEN) or (WARM if has_model else COLD)
        if name not in RANKERS:
            raise LookupError(f"there is no ranker {name!r}; there are: {', '.join(RANKERS)}")
        return name if has_model or not RANKERS[name].needs_model else COLD

    def _ask(self, count: int, learner: str | None, whole_images: bool) -> RankRequest:
        """Complete pictures and slices that somebody labelled are not asked again."""
        clocks = self._scheduler.rounds.labelled_images()
        done = {
            (image, axis, index) for image in clocks for axis, index, _ in self._store.slice_states(image)
        }
        loop = len(self._scheduler.rounds.of(learner, limit=10)) if learner else 0
        return RankRequest(
            count=count,
            labelled=frozenset(done),
            skipped=frozenset(self._skipped()),
            labelled_images=frozenset(clocks),
            loop=loop,
            whole_images=whole_images,
            seed=(self._draw << 32) + self._store.newest_label(),
        )

    def _skipped(self) -> set[Ref]:
        text = self._store.setting(SKIPPED) or ""
        found = set()
        for part in filter(None, text.split(";")):
            image, axis, index = (int(n) for n in part.split(","))
            found.add((image, axis, index))
        return found


def _item(pick: Pick, image: ImageRow) -> Message:
    return {
        "image": image.id,
        "name": image.name,
        "kind": "volume" if image.is_volume else "image",
        "axis": pick.axis,
        "index": pick.index,
        "score": round(pick.score, 4),
        "why": pick.why,
    }
