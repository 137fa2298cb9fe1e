"""kill -9 during every kind of work, a few times each; `python -m benchmarks.soak.kills` does it by the hundred."""

import os
from pathlib import Path

import pytest

from benchmarks.soak.kill_kinds import KINDS
from benchmarks.soak.kills import soak

KILLS = 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")
@pytest.mark.parametrize("name", KINDS)
def test_what_was_acknowledged_is_there_and_nothing_is_half(name: str, tmp_path: Path):
    tally = soak(KINDS[name](), KILLS, tmp_path, seed=1)
    assert tally.kills == KILLS and tally.faults == []
