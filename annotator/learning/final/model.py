"""What was asked of the final model, whether it is to go on, and how far it is. Kept in the project."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace

from annotator.learning.prediction_publisher import RunningRound
from learners import LEARNERS
from learners.final.progress import Trained, trained_so_far
from learners.progress import RoundProgress, read_progress
from learners.spec import MAX_FOLDS, Lasting
from storage.rounds import RoundRow
from storage.safety.contents import LASTING
from storage.store import Store

log = logging.getLogger(__name__)

FINAL = "final"  # its name among the learners
SETTING = "final-model"
HOURS_8 = 8 * 3600.0
LONGEST = 14 * 86_400.0


@dataclass(frozen=True)
class FinalOptions:
    """What was asked for. Raises ValueError, LookupError."""

    seconds: float = HOURS_8  # of training, of all folds together
    folds: int = 1
    recipe: str = "supervised"  # the learner whose method trains it
    network: str = "auto"
    steps: int | None = None  # tests: of each fold

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= LONGEST:
            raise ValueError("a final model trains between a second and 14 days; choose another time")
        if not 1 <= self.folds <= MAX_FOLDS:
            raise ValueError(f"a final model has 1 to {MAX_FOLDS} folds, got {self.folds}")
        if self.recipe not in RECIPES:
            raise LookupError(f"{self.recipe} cannot train a final model; these can: {', '.join(RECIPES)}")


RECIPES = tuple(name for name, entry in LEARNERS.items() if entry.make and not entry.run_round)


@dataclass(frozen=True)
class _FinalKept:
    options: FinalOptions = FinalOptions()
    going: bool = False  # it is to train until it is done, whatever happens to the app
    by: str = ""  # who asked for it; "": nobody on the page


class FinalModel:
    """Thread-safe as the scheduler that owns it is: it is called under that one's lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.work = store.rounds.directory / LASTING
        self._give_way = self.work.with_name("final-gives-way")
        self._kept = self._read()

    @property
    def options(self) -> FinalOptions:
        return self._kept.options

    @property
    def going(self) -> bool:
        return self._kept.going

    @property
    def starter(self) -> str | None:
        """Who asked for what trains or can go on, "" where it was nobody on the page; None where there is nothing."""
        return self._kept.by if self.going or self.begun else None

    @property
    def begun(self) -> bool:
        """Whether something is trained that can go on."""
        return self.work.is_dir()

    def ask(self, options: FinalOptions, by: str = "") -> None:
        """From now on it trains. What was trained with other options is forgotten. Whoever lets it go on does not take
        it over."""
        if options != self.options:
            self.forget()
        self._keep(_FinalKept(options, going=True, by=self._kept.by if self.begun else by))

    def ended(self, row: RoundRow) -> None:
        """One that was lost goes on by itself."""
        if row.status in ("done", "failed"):
            self._keep(replace(self._kept, going=False))
        if row.status == "done":
            self.forget()

    def forget(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def lasting(self) -> Lasting:
        self.work.mkdir(parents=True, exist_ok=True)
        return Lasting(self.work, self.options.folds, self.options.recipe, give_way=self._give_way)

    def give_way(self, others: bool) -> None:
        """To rounds that people wait for: it stands still while they run."""
        if others == self._give_way.exists() or self._store.looking:
            return
        if others and self.going:
            self._give_way.touch()
        else:
            self._give_way.unlink(missing_ok=True)

    @property
    def gives_way(self) -> bool:
        return self._give_way.exists()

    def so_far(self) -> Trained:
        return trained_so_far(self.work, self.options.folds, self.options.seconds)

    def _read(self) -> _FinalKept:
        text = self._store.setting(SETTING)
        try:
            told = json.loads(text) if text else {}
            options = FinalOptions(**told.get("options", {}))
            return _FinalKept(options, bool(told.get("going")), str(told.get("by", "")))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("what was asked of the final model cannot be read (%s); nothing is trained", error)
            return _FinalKept()

    def _keep(self, kept: _FinalKept) -> None:
        self._store.set_setting(SETTING, json.dumps(asdict(kept)))
        self._kept = kept


def progress_of(running: RunningRound) -> RoundProgress | None:
    """Where a round is; of a lasting one where its folds are."""
    told, lasting = read_progress(running.spec.directory), running.spec.lasting
    if told is not None or lasting is None:
        return told
    return trained_so_far(lasting.work, lasting.folds, running.spec.seconds).progress
