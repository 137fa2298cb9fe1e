"""What a worker is told of a round: where it starts from, what it trains on, and in which order it predicts."""

from dataclasses import dataclass, replace
from pathlib import Path

from annotator.learning.final.model import FinalModel
from annotator.learning.round_inputs import Inputs
from annotator.learning.settings import LearnSettings, wants_members
from annotator.prompting.selection import prompt_choice
from learners import LEARNERS
from learners.spec import CARD, RoundSpec
from storage.rounds import RoundRow, Rounds
from storage.store import Store

PREDICTS = 86_400.0  # seconds that a final model may take to predict: nobody waits for it
PATIENCE = 3  # rounds in a row that may come out worse before training starts again from what people see


@dataclass(frozen=True)
class RoundNeeds:
    """What differs from round to round."""

    inputs: Inputs
    seconds: float  # of training; 0 where it only predicts
    open_image: int | None  # predicted first
    silent: bool = False  # it predicts nothing
    smaller: int = 0  # workers that died of this round: each makes the next try smaller
    final: FinalModel | None = None  # it is the training of the final model


def make_spec(store: Store, row: RoundRow, settings: LearnSettings, needs: RoundNeeds) -> RoundSpec:
    rounds, inputs = store.rounds, needs.inputs
    spec = RoundSpec(
        learner=row.learner,
        class_ids=inputs.class_ids,
        examples=inputs.examples,
        directory=rounds.folder(row.id),
        parent=parent_of(rounds, row.learner),
        start=_start_of(rounds, row),
        seconds=needs.seconds,
        predict=() if needs.silent else _order(rounds, row, needs.open_image),
        predict_seconds=settings.predict_seconds,
        seed=row.id,
        device=settings.device,
        network=settings.network,
        smaller=needs.smaller,
        steps=settings.steps if needs.seconds else None,
        mirror=inputs.mirror,
        late_ids=inputs.late_ids,
        adapt=settings.adapt,
        references=settings.references,
        prompts=prompt_choice(store),
        cache=rounds.directory / "seen",
        members=wants_members(store),
    )
    return spec if needs.final is None else _final(spec, needs.final)


def _final(spec: RoundSpec, final: FinalModel) -> RoundSpec:
    """It has all the time, starts from nothing, and predicts every image."""
    options = final.options
    return replace(
        spec, lasting=final.lasting(), network=options.network, steps=options.steps, start=None, adapt="",
        members=False, predict_seconds=PREDICTS,
    )  # fmt: skip


def parent_of(rounds: Rounds, learner: str) -> Path | None:
    """The learner's own model, else the newest network of another: what a round starts from."""
    own = rounds.model(learner)
    if own is not None or not LEARNERS[learner].network or LEARNERS[learner].lasting:
        return own
    trained = [each for each, entry in LEARNERS.items() if entry.network and not entry.lasting]
    rows = [row for each in trained if (row := rounds.newest(each, "done")) is not None]
    newest = max(rows, key=lambda row: row.id, default=None)
    return rounds.folder(newest.model_round) if newest and newest.model_round else None


def _start_of(rounds: Rounds, row: RoundRow) -> Path | None:
    """The model of the learner's last round, where that came out worse than the one that people see: what it
    learned is not lost. After every few such rounds in a row the next begins with what people see."""
    if row.kind != "train" or not LEARNERS[row.learner].network:
        return None
    worse = rounds.worse(row.learner)
    if len(worse) % PATIENCE == 0:
        return None
    model = rounds.folder(worse[-1])
    return model if (model / CARD).is_file() else None  # older projects did not keep it


def _order(rounds: Rounds, row: RoundRow, open_image: int | None) -> tuple[int, ...]:
    """The open image, then what was never predicted, then the oldest; a round that only predicts leaves out
    what this model has predicted already."""
    newer_than = row.seen_label + (row.kind == "train")
    order = rounds.unpredicted(row.learner, newer_than)
    first = [open_image] if open_image in order else []
    return tuple(i for i in dict.fromkeys([*first, *order]) if i is not None)
