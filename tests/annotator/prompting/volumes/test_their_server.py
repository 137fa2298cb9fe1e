"""Our client against nnInteractive's own server. Skipped where the package `nninteractive` is not installed."""

from pathlib import Path

import numpy as np
import pytest

from annotator.prompting.volumes.address import VolumeAddress
from annotator.prompting.volumes.connection import Unanswered
from annotator.prompting.volumes.leases import SentVolume
from annotator.prompting.volumes.server import VolumeServer
from annotator.prompting.volumes.steps import PromptStep
from storage.arrays import write_npy
from tests.conftest import ball


def test_it_takes_every_prompt_gives_one_session_and_is_missed_when_it_dies(tmp_path: Path):
    pytest.importorskip("nnInteractive.inference.server.app", reason="nninteractive is not installed")
    from tests.support.tiny_nninteractive import their_server

    write_npy(tmp_path / "ball.npy", np.asarray(ball((24, 48, 56))[0].pixels))
    volume = SentVolume(tmp_path / "ball.npy", (24, 48, 56), (2.0, 1.0, 1.0))
    click = PromptStep("point", 0, 4, True, ((7.0, 9.0),))
    others = [
        PromptStep("point", 1, 7, False, ((20.0, 40.0),)),
        PromptStep("bbox", 0, 4, True, ((3, 4), (12, 15))),
        PromptStep("scribble", 2, 9, True, ((3, 5), (6, 9))),
        PromptStep("lasso", 0, 4, True, ((3, 4), (3, 15), (12, 15), (12, 4))),
    ]
    with their_server(tmp_path, "secret") as (address, process):
        ours = VolumeServer(VolumeAddress(address, "secret"), 60.0)
        first = ours.mask(volume, [click])
        assert first.any() and first.shape == volume.shape
        for other in others:
            assert ours.mask(volume, [click, other]).any()
        np.testing.assert_array_equal(ours.mask(volume, [click]), first)  # all others were taken back
        for token, words in (("secret", "busy with other people"), ("wrong", "does not take our token")):
            second = VolumeServer(VolumeAddress(address, token), 60.0)
            with pytest.raises(Unanswered, match=words):
                second.mask(volume, [click])
            second.close()
        process.kill()
        process.wait()
        with pytest.raises(Unanswered, match="cannot be reached"):
            ours.mask(volume, [click, others[0]])
        ours.close()
