"""Can people trust what is proposed? The law: one more correct slice never makes a proposal worse.

    python -m benchmarks.trust [--part PART] [--set SET] [--volumes N] [--quick] [--seeds N] [--json FILE]

Proposals as atlases, fills and models make them are corrected by true, complete slices, one after another: the first by
a rule, the second anywhere across the objects. Dice is the mean over classes and the whole volume. `fused` is what the
app proposes then, `labels alone` a fill that forgets the proposal, `slice alone` the old proposal with the labelled
slices laid over it. `labels alone` is measured with the first seed only: it is there to be compared with. The part
`slices` goes on to SLICES slices, each where the app asks for one. `proposed` is which of the two the app takes.
The part `fills` asks the same of fills that no learner proposed, six slices each. `refine` is what mending by one click
takes, and `redraw` what new outlines change; `benchmarks/trust_refine.py` says how. The part `calibration` compares
numbers about proposals with the truth; `benchmarks/trust_calibration.py` says how. The part `small` is about objects
that hardly fill their pictures (`benchmarks/trust_small.py`), `withheld` about proposals that people do not get to see:
made from the truth (`benchmarks/trust_withheld_made.py`), and, as `withheld-learned`, by real rounds
(`benchmarks/trust_withheld.py`). `learned` asks the law of what real learners propose (`benchmarks/trust_law.py`).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from benchmarks.sparse import FILL_SECONDS, SparseSubject, case_of
from benchmarks.trust_calibration import NAMES as CALIBRATED
from benchmarks.trust_calibration import calibration
from benchmarks.trust_cases import (
    RULES,
    SETS,
    ProposalCase,
    bent,
    mean_dice,
    place,
    prior_of,
    proposals,
    unseen,
    volumes,
)
from benchmarks.trust_law import learned
from benchmarks.trust_refine import chained_fills, click_times, redrawing, refining
from benchmarks.trust_small import small
from benchmarks.trust_withheld import NAMES as ROUNDS_OF
from benchmarks.trust_withheld import withheld
from benchmarks.trust_withheld_made import withheld_of_made
from learners.propagate import PropagationInput, RunControl, fill
from learners.propagate.fused import Prior, fuse
from learners.propagate.labels_alone import labels_suffice
from learners.propagate.next_slice import Volume, next_slice
from storage.arrays import UNLABELLED

PARTS = (
    "law",
    "slices",
    "fills",
    "refine",
    "redraw",
    "calibration",
    "small",
    "withheld",
    "withheld-learned",
    "learned",
)
LAID_OVER = {
    "law",
    "slices",
    "fills",
    "refine",
    "redraw",
}  # parts that need volumes with something proposed for them
FUSED, ALONE, SLICE, PROPOSED = "fused", "labels alone", "slice alone", "proposed"
MARGIN = 0.02  # of Dice: what one case may lose
STEPS = 2  # slices, one after another
SLICES = 7
WEAK = (0.3, 0.6, 0.8)  # Dice of the proposals that many slices are laid over
Corrector = Callable[[PropagationInput, Prior], NDArray[np.uint8]]


def main() -> None:
    asked = parser(__doc__.splitlines()[0])
    asked.add_argument("--part", choices=PARTS, action="append", help="default: all")
    sets = tuple(dict.fromkeys((*SETS, *CALIBRATED)))
    asked.add_argument("--set", choices=sets, action="append", help="default: all that are there")
    asked.add_argument("--volumes", type=int, help="of each set; default 8, quick 2")
    asked.add_argument("--learner", help="of the part calibration; default: those that the app takes")
    asked.add_argument(
        "--steps", type=int, help="of each round of the part withheld-learned; default 40, quick 10"
    )
    options = asked.parse_args()
    parts, wanted, rows = options.part or PARTS, options.set or sets, list[Row]()
    laid_over = [name for name in SETS if name in wanted] if {*parts} & LAID_OVER else []
    found = volumes(options.data, tuple(laid_over), options.volumes, quick=options.quick)
    if "law" in parts:
        rows += law(found, 1 if options.quick else options.seeds)
    if "slices" in parts:
        rows += slices(found)
    if "fills" in parts:
        rows += chained_fills(found, 1 if options.quick else options.seeds)
    if "refine" in parts:
        rows += click_times()
        rows += refining(found)
    if "redraw" in parts:
        rows += redrawing(unseen(options.data, options.volumes or 2))
    if "calibration" in parts:
        names = [name for name in CALIBRATED if name in wanted]
        seeds = 1 if options.quick else options.seeds
        rows += calibration(options.data, names, seeds, learner=options.learner, quick=options.quick)
    if "small" in parts:
        rows += small(options.data, 1 if options.quick else options.seeds, quick=options.quick)
    if "withheld" in parts:
        rows += withheld_of_made(options.data, 1 if options.quick else options.seeds, quick=options.quick)
    if "withheld-learned" in parts:
        names = [name for name in ROUNDS_OF if name in (options.set or ROUNDS_OF)]
        seeds = 1 if options.quick else options.seeds
        rows += withheld(options.data, seeds, quick=options.quick, names=names, steps=options.steps)
    if "learned" in parts:
        rows += learned(options.data, 1 if options.quick else options.seeds, quick=options.quick)
    finish(rows, options.json)


def law(found: Sequence[SparseSubject], seeds: int) -> Iterator[Row]:
    """Per set and kind of proposal: how Dice changed with each correct slice, by each way of correcting."""
    for name in dict.fromkeys(subject.set for subject in found):
        of_set = [subject for subject in found if subject.set == name]
        changes: dict[tuple[str, str], list[float]] = defaultdict(list)
        seconds: dict[str, list[float]] = defaultdict(list)
        for seed in range(seeds):
            for number, subject in enumerate(of_set):
                rng = np.random.default_rng([seed, number])
                others = [each for each in of_set if each is not subject] if name == "hippocampus" else []
                for case in proposals(subject, others, rng):
                    for rule in RULES if seed == 0 else ("random",):
                        _measured(case, rule, seed, changes, seconds)
            print(f"{name}: seed {seed} done", flush=True)
        for kind in dict.fromkeys(kind for kind, _ in changes):
            for method in (FUSED, ALONE, SLICE):
                values = changes[kind, method]
                yield from _summed(f"{name}, {kind}", method, values)
        for method in (FUSED, ALONE, SLICE):
            every = [v for (_, m), values in changes.items() if m == method for v in values]
            yield from _summed(f"{name}, all", method, every)
            yield Row(f"{name}, all", method, "seconds", float(np.mean(seconds[method])), len(every))


def _measured(
    case: ProposalCase,
    rule: str,
    seed: int,
    changes: dict[tuple[str, str], list[float]],
    seconds: dict[str, list[float]],
) -> None:
    """Add the changes of Dice as one slice after another is labelled."""
    subject, rng = case.subject, np.random.default_rng(seed)
    more = [place(subject, rule, rng), *(place(subject, "random", rng) for _ in range(STEPS - 1))]
    correctors: dict[str, Corrector] = {FUSED: _fused, SLICE: _slice_alone}
    if seed == 0:
        correctors[ALONE] = _labels_alone
    for method, corrected in correctors.items():
        before = mean_dice(case.prior.classes, subject.truth)
        for count in range(1, STEPS + 1):
            known, start = case_of(subject, [*case.labelled, *more[:count]]), time.perf_counter()
            after = mean_dice(corrected(known, case.prior), subject.truth)
            seconds[method].append(time.perf_counter() - start)
            changes[case.kind, method].append(after - before)
            before = after


def slices(found: Sequence[SparseSubject]) -> Iterator[Row]:
    """Dice after each of SLICES slices, by labels and proposal, by labels alone, and by what the app takes."""
    for number, subject in enumerate(found):
        for dice in WEAK:
            prior = prior_of(subject, bent(subject, dice, np.random.default_rng(number)))
            name, before, alone = f"{subject.set}, {SLICES} slices over {dice:.1f}", dice, False
            at = [place(subject, "largest", np.random.default_rng(0))]
            for count in range(1, SLICES + 1):
                case = case_of(subject, at)
                filled, fused = fill("random_walker", case), fuse(case, prior)
                fill_alone = partial(fill, "random_walker")
                alone = labels_suffice(case, prior, fill_alone, RunControl.of(FILL_SECONDS), before=alone)
                taken = filled if alone else fused
                values = {ALONE: filled, FUSED: fused, PROPOSED: taken}
                for method, result in values.items():
                    value = mean_dice(result.classes, subject.truth)
                    yield Row(name, method, f"Dice, {count} slices", value)
                after = mean_dice(taken.classes, subject.truth)
                yield Row(f"{subject.set}, all", PROPOSED, "change by a slice", after - before)
                before = after
                view = Volume(taken.classes, filled.confidence, case.slices, subject.spacing_mm)
                proposal = next_slice(view)
                if proposal is None:
                    break
                at.append((proposal.axis, proposal.index))
        print(f"{subject.set}: {subject.name}, {SLICES} slices done", flush=True)


def _fused(case: PropagationInput, prior: Prior) -> NDArray[np.uint8]:
    return fuse(case, prior).classes


def _labels_alone(case: PropagationInput, prior: Prior) -> NDArray[np.uint8]:
    return fill("random_walker", case).classes


def _slice_alone(case: PropagationInput, prior: Prior) -> NDArray[np.uint8]:
    return np.where(case.known == UNLABELLED, prior.classes, case.known)


def _summed(name: str, method: str, values: list[float]) -> Iterator[Row]:
    if values:
        change = np.array(values)
        yield Row(name, method, "mean change", float(change.mean()), len(change))
        yield Row(name, method, "worst", float(change.min()), len(change))
        yield Row(name, method, "share worse", float((change < -1e-6).mean()), len(change))
        yield Row(name, method, "share beyond the margin", float((change < -MARGIN).mean()), len(change))


if __name__ == "__main__":
    main()
