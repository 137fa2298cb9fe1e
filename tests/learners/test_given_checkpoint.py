"""Learners that ask a prompt model ask the checkpoint that was given by its path, or say why they could not."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from annotator.learning.round_inputs import RoundInputs
from annotator.learning.round_spec import RoundNeeds, make_spec
from annotator.learning.settings import LearnSettings
from annotator.prompting.selection import prompt_choice
from annotator.prompting.service import PromptService
from learners.methods.reference.checkpoint import CARD
from learners.methods.reference.round import run as reference_work
from learners.methods.sfr import sam_here
from learners.rounds import run_round
from learners.spec import RoundSpec
from models import GIVEN, TUNED, PromptChoice, on_this_machine, weights
from models.builtin import BuiltIn
from models.prompt import Embedding
from models.sam import checkpoint
from models.sam import onnx_decoder as sam_onnx
from models.sam.decoder import TorchDecoder
from models.sam.model import SamModel
from storage.store import Store
from tests.learners.test_learning import example, spec_of
from tests.learners.test_reference import picture
from tests.learners.test_tag_learner import blobs, examples_of
from tests.support.small_models import small_sam

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def given(tmp_path: Path, monkeypatch) -> Path:
    """A checkpoint of a small SAM with random weights, read as every other is."""
    monkeypatch.setitem(checkpoint.SAM_WIDTHS, 32, "vit_b")
    sam = importlib.import_module("models.sam.model")  # the package has a function of that name
    monkeypatch.setattr(sam, "empty_sam", lambda kind: small_sam(seed=1))
    monkeypatch.setattr(sam_onnx, "onnx_decoder", lambda sam, path: TorchDecoder(sam))
    path = tmp_path / "mine.pth"
    torch.save(small_sam().state_dict(), path)
    return path


def reference_spec(folder: Path, **more) -> RoundSpec:
    """One picture with three large discs, and one without labels."""
    examples = []
    for i in (1, 2):
        grey, truth = picture(i, objects=3)
        examples.append(example(folder, i, grey[None], truth[None] if i == 1 else None))
    return spec_of(folder, examples, learner="reference", **more)


def test_the_file_is_opened_and_nothing_else_answers(given: Path):
    found = on_this_machine(PromptChoice(GIVEN, given))
    assert isinstance(found.model, SamModel) and (found.name, found.why) == (GIVEN, "")
    assert found.model.model_id.startswith("sam-vit_b-")


def test_sfr_tunes_the_file_that_was_given_and_not_one_that_lies_here(
    given: Path, tmp_path: Path, monkeypatch
):
    here = tmp_path / "sam_vit_b.pth"
    torch.save(small_sam(seed=3).state_dict(), here)
    monkeypatch.setattr(
        weights, "find", lambda item: here if item is weights.CATALOGUE["sam_vit_b"] else None
    )

    def first(choice: PromptChoice) -> torch.Tensor:
        return sam_here(choice)[0].image_encoder.patch_embed.proj.weight

    def of(seed: int) -> torch.Tensor:
        return small_sam(seed).image_encoder.patch_embed.proj.weight

    assert torch.equal(first(PromptChoice(GIVEN, given)), of(7))
    assert torch.equal(first(PromptChoice()), of(3))
    assert torch.equal(first(PromptChoice(GIVEN, tmp_path / "gone.pth")), of(3))
    monkeypatch.setattr(
        checkpoint, "SAM_WIDTHS", {}
    )  # as with MobileSAM: no layers that take low-rank updates
    assert torch.equal(first(PromptChoice(GIVEN, given)), of(3))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (GIVEN, None, "mine.pth is not on this machine"),
        (GIVEN, b"<html>", "web page"),
        (TUNED, None, "mine.pth is not on this machine"),
        ("sam_vit_b", None, "SAM ViT-B (375 MB) is not on this machine"),
        ("of tomorrow", None, "no prompt model 'of tomorrow'"),
    ],
)
def test_what_cannot_be_opened_is_said_and_the_built_in_model_answers(
    tmp_path: Path, monkeypatch, name: str, content: bytes | None, reason: str
):
    monkeypatch.setenv("SLICEWISE_WEIGHTS", str(tmp_path / "none"))
    file = tmp_path / "mine.pth"
    if content is not None:
        file.write_bytes(content)
    found = on_this_machine(PromptChoice(name, file))
    assert isinstance(found.model, BuiltIn) and found.name == "builtin"
    assert reason in found.why and found.why.endswith("the built-in model answered")


def test_references_are_learned_from_the_given_checkpoint(tmp_path: Path, given: Path):
    result = reference_work(reference_spec(tmp_path, prompts=PromptChoice(GIVEN, given)))
    assert "by the given checkpoint" in result.notes[0]
    card = json.loads((result.model / CARD).read_text())
    assert card["features"] == on_this_machine(PromptChoice(GIVEN, given)).model.model_id
    assert {score.image_id for score in result.predicted} == {1, 2}


def test_references_say_that_the_checkpoint_is_gone(tmp_path: Path):
    gone = tmp_path / "gone.pth"
    result = reference_work(reference_spec(tmp_path, prompts=PromptChoice(GIVEN, gone)))
    assert "gone.pth is not on this machine" in result.notes[0] and "built-in" in result.notes[1]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.thorough
def test_tags_are_read_with_the_given_checkpoint_or_the_line_says_why_not(
    tmp_path: Path, given: Path, there: bool
):
    folder = tmp_path / "round"
    folder.mkdir()
    if not there:
        given.unlink()
    asked: list[str] = []
    encode = SamModel.encode

    def counted(self: SamModel, image: NDArray[np.uint8]) -> Embedding:
        asked.append(self.model_id)
        return encode(self, image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SamModel, "encode", counted)
        result = run_round(
            RoundSpec(
                "tags",
                (1,),
                examples_of(tmp_path, *blobs(6)),
                folder,
                seconds=60,
                steps=2,
                device="cpu",
                prompts=PromptChoice(GIVEN, given),
                cache=tmp_path / "seen",
            )
        )
    assert len(asked) == (3 if there else 0), "each picture with the object once"
    assert any("mine.pth is not on this machine" in note for note in result.notes) != there


def test_name_and_path_travel_from_the_command_line_to_a_round(store: Store, given: Path, monkeypatch):
    prompting = PromptService(store, checkpoint=given)
    prompting.close()
    assert prompt_choice(store) == PromptChoice(GIVEN, given)
    needs = RoundNeeds(RoundInputs(store, store.rounds).build("reference", 0), seconds=1.0, open_image=None)
    spec = make_spec(store, store.rounds.start("reference", 0), LearnSettings(learners=("reference",)), needs)
    assert spec.prompts == PromptChoice(GIVEN, given)
    PromptService(store).close()  # without the option the built-in one is home again
    assert prompt_choice(store) == PromptChoice("builtin")
