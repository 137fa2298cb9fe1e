"""The order in which a person is asked to label: the chosen ranker over the newest evidence."""

from typing import Any

from annotator.learn_settings import RANKER
from annotator.scheduler import Scheduler
from learners.pool import Pool
from learners.rankers import COLD, RANKERS, WARM, rank
from learners.rankers.ask import Ask, Ref

SKIPPED, CHOSEN = "skipped", RANKER


class Queue:
    """Thread-safe by way of the store. People skip and un-skip items; that is kept in the project."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._store = scheduler, scheduler.store

    def next(
        self, count: int = 20, ranker: str | None = None, *, whole_images: bool = False
    ) -> dict[str, Any]:
        """The `queue` message. Raises LookupError for an unknown ranker."""
        pool = self._scheduler.pool()
        has_model = bool(len(pool)) and bool((pool.entropy > 0).any())
        if not has_model:
            pool = self._scheduler.described()
        name = self._ranker(ranker, has_model)
        picks = rank(name, pool, self._ask(count, pool, whole_images))
        names = {p.image: self._store.image(p.image).name for p in picks}
        return {
            "t": "queue",
            "ranker": name,
            "why": RANKERS[name].good_at,
            "items": [
                {
                    "image": p.image,
                    "name": names[p.image],
                    "axis": p.axis,
                    "index": p.index,
                    "score": round(p.score, 4),
                    "why": p.why,
                }
                for p in picks
            ],
        }

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

    def _ranker(self, asked: str | None, has_model: bool) -> str:
        """What was asked for, else what was chosen; where that needs a model and there is none, the first one."""
        name = asked or self._store.setting(CHOSEN) or (WARM if has_model else COLD)
        if name not in RANKERS:
            raise LookupError(f"there is no ranker {name!r}; there are: {', '.join(RANKERS)}")
        return name if has_model or not RANKERS[name].needs_model else COLD

    def _ask(self, count: int, pool: Pool, whole_images: bool) -> Ask:
        """Complete pictures and slices that somebody labelled are not asked again."""
        clocks = self._scheduler.rounds.labelled_images()
        done = {
            (image, axis, index) for image in clocks for axis, index, _ in self._store.slice_states(image)
        }
        loop = len(self._scheduler.rounds.of(self._scheduler.active[0], limit=10))
        return Ask(
            count=count,
            labelled=frozenset(done),
            skipped=frozenset(self._skipped()),
            labelled_images=frozenset(clocks),
            loop=loop,
            whole_images=whole_images,
            seed=self._store.newest_label(),
        )

    def _skipped(self) -> set[Ref]:
        text = self._store.setting(SKIPPED) or ""
        found = set()
        for part in filter(None, text.split(";")):
            image, axis, index = (int(n) for n in part.split(","))
            found.add((image, axis, index))
        return found
