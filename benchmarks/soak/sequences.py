"""The state machine of tests/annotator/labels/test_change_sequences.py, for minutes instead of seconds.

    python -m benchmarks.soak.sequences --minutes 5

Two people in four tabs label, complete, accept, undo, redo, edit classes and send again. It stops at the first sequence
that raises, blocks or diverges from the model, and hypothesis prints that sequence in its shortest form.
"""

import argparse
import time
from collections import Counter

from hypothesis import HealthCheck, Verbosity, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from benchmarks.common import machine_line
from tests.annotator.labels.test_change_sequences import Sequences

BATCH = 50  # sequences of one run of hypothesis; each batch begins with a seed of its own
STEPS = 50  # at most, of one sequence


class Counted(Sequences):
    """Counts what was run."""

    done: Counter[str] = Counter()

    def teardown(self) -> None:
        self.done["sequences"] += 1
        self.done["acknowledged"] += len(getattr(self, "answers", ()))
        super().teardown()

    @invariant()
    def memory_disk_and_model_agree(self) -> None:
        self.done["comparisons"] += 1
        super().memory_disk_and_model_agree()


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=5)
    minutes = options.parse_args().minutes
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        run_state_machine_as_test(Counted, settings=_settings())
    print(f"{minutes:g} minutes, {machine_line()}")
    print(", ".join(f"{count:,} {what}" for what, count in Counted.done.items()), "none failed", sep="; ")


def _settings() -> settings:
    return settings(
        max_examples=BATCH,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )


if __name__ == "__main__":
    main()
