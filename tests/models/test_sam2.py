"""SAM 2.1 with small networks of random weights: shapes, memory over slices, determinism. No trained ones."""

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="the optional extra for SAM 2 is not installed")

from models.prompt import Prompts
from models.sam.checkpoint import WrongFile
from models.sam.sam2 import (
    Propagator,
    Sam2,
    ensure_transformers,
    load_sam2,
    nearness,
    squared,
    transformers_class,
)
from tests.support.small_models import CPU, GRIDS, SIDE, small_sam2, small_tracker


@pytest.fixture(scope="module")
def network():
    return small_sam2()


@pytest.fixture(scope="module")
def propagator() -> Propagator:
    return small_tracker()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (61, 113, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("prompts", "count"),
    [
        (Prompts(points_rc=((30, 50),), labels=(1,)), 3),
        (Prompts(points_rc=((30, 50), (5, 5)), labels=(1, 0)), 1),
        (Prompts(box=(10, 20, 50, 90)), 1),
        (Prompts(box=(10, 20, 50, 90), points_rc=((30, 50),), labels=(1,)), 1),
    ],
)
def test_masks_have_the_slices_shape_and_come_best_first(network, picture, prompts, count):
    model = Sam2(network, "tiny", CPU)
    answers = [model.predict(model.encode(picture), prompts) for _ in range(2)]
    assert answers[0].masks.shape == (count, 61, 113)
    assert (np.diff(answers[0].scores) <= 0).all()
    assert np.array_equal(answers[0].masks, answers[1].masks)


def test_a_mask_to_refine_changes_the_answer(network, picture):
    model = Sam2(network, "tiny", CPU)
    mask = np.zeros((61, 113), bool)
    mask[10:40, 20:80] = True
    embedding, click = model.encode(picture), Prompts(points_rc=((30, 50), (5, 5)), labels=(1, 0))
    refined = Prompts(points_rc=click.points_rc, labels=click.labels, mask=mask)
    plain, other = model.predict(embedding, click), model.predict(embedding, refined)
    assert plain.scores[0] != other.scores[0]


def test_the_embedding_holds_three_levels_in_half_precision(network, picture):
    arrays = Sam2(network, "tiny", CPU).encode(picture).arrays
    assert [a.shape[-2:] for a in arrays.values()] == [tuple(g) for g in GRIDS]
    assert all(a.dtype == np.float16 for a in arrays.values())


def test_prompts_are_squeezed_with_the_picture():
    given = squared(Prompts(points_rc=((30, 56.5),), labels=(1,), box=(0, 0, 61, 113)), (61, 113), SIDE)
    assert given.points_xy[0] == pytest.approx((56.5 * SIDE / 113, 30 * SIDE / 61))
    assert given.box_xyxy == pytest.approx((0, 0, SIDE, SIDE))


def test_a_folder_of_weights_is_loaded_by_its_config(network, picture, tmp_path):
    network.save_pretrained(tmp_path)
    loaded, made = load_sam2(tmp_path, CPU), Sam2(network, "tiny", CPU)
    click = Prompts(points_rc=((30, 50),), labels=(1,))
    assert loaded.model_id.startswith("sam2-")
    a, b = (m.predict(m.encode(picture), click) for m in (loaded, made))
    assert np.allclose(a.scores, b.scores, atol=1e-4)


def test_another_folder_is_named_for_what_it_is(tmp_path):
    with pytest.raises(WrongFile, match="config.json"):
        load_sam2(tmp_path, CPU)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WrongFile, match="type bert"):
        load_sam2(tmp_path, CPU)


def stack(count: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, 37, 53, 3), dtype=np.uint8)


def seed_mask() -> np.ndarray:
    mask = np.zeros((37, 53), bool)
    mask[10:20, 15:40] = True
    return mask


def test_an_object_is_followed_both_ways_and_given_masks_stay(propagator):
    told: list[tuple[int, int]] = []
    found = propagator.propagate(stack(5), {2: seed_mask()}, lambda done, total: told.append((done, total)))
    assert found.shape == (5, 37, 53) and found.dtype == np.float32
    assert np.array_equal(found[2], seed_mask().astype(np.float32))
    assert ((found >= 0) & (found <= 1)).all() and (found[[0, 4]] > 0).any()
    assert told and told[-1][0] <= told[-1][1] == 10


def test_following_is_deterministic_and_remembers_earlier_slices(propagator):
    slices = stack(4)
    first, second = (propagator.propagate(slices, {0: seed_mask()}, lambda *_: None) for _ in range(2))
    assert np.array_equal(first, second)
    changed = slices.copy()
    changed[1] = 255 - changed[1]
    other = propagator.propagate(changed, {0: seed_mask()}, lambda *_: None)
    assert not np.array_equal(first[3], other[3])


def test_following_can_be_stopped(propagator):
    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        propagator.propagate(stack(3), {0: seed_mask()}, stop)


def test_nothing_to_follow_is_refused(propagator):
    with pytest.raises(ValueError, match="at least one slice"):
        propagator.propagate(stack(3), {}, lambda *_: None)
    with pytest.raises(ValueError, match="mask of slice 7"):
        propagator.propagate(stack(3), {7: seed_mask()}, lambda *_: None)


def test_a_volume_is_filled_from_slices_of_two_planes_and_known_voxels_stay(propagator):
    from learners.propagate import LabelledSlice, PropagationInput, RunControl, fill_with
    from learners.propagate.tracked import tracked
    from storage.arrays import UNLABELLED

    rng = np.random.default_rng(0)
    known = np.full((5, 20, 24), UNLABELLED, np.uint8)
    known[2], known[:, 10] = 0, 0
    known[2, 6:14, 6:15], known[1:4, 10, 6:15] = 3, 3
    known[2, 10:14, 16:20] = 7
    slices = (LabelledSlice(0, 2, True), LabelledSlice(1, 10, True))
    case = PropagationInput(rng.normal(0, 1, known.shape).astype(np.float32), known, slices)
    filled = fill_with(tracked(lambda: propagator), case, RunControl())
    said = known != UNLABELLED
    assert np.array_equal(filled.classes[said], known[said]) and filled.finished
    assert set(np.unique(filled.classes)) <= {0, 3, 7}
    late = fill_with(tracked(lambda: propagator), case, RunControl(deadline=0.0))
    assert not late.finished and np.array_equal(late.classes[said], known[said])


def test_without_its_weights_a_video_model_is_not_offered_and_says_what_it_needs(tmp_path, monkeypatch):
    from learners.propagate import PROPAGATORS, VIDEO_WEIGHTS
    from learners.propagate.tracked import tracker_on_this_machine

    monkeypatch.setenv("SLICEWISE_WEIGHTS", str(tmp_path))
    assert not PROPAGATORS["tracked"].ready and PROPAGATORS["shape"].ready
    with pytest.raises(ValueError, match="EdgeTAM or sam2.1-hiera-tiny"):
        tracker_on_this_machine(VIDEO_WEIGHTS)


def test_the_nearer_mask_has_more_say():
    seeds = {0: seed_mask(), 10: seed_mask()}
    assert nearness(2, seeds, False) > nearness(2, seeds, True) > 0
    assert nearness(9, {3: seed_mask()}, True) == 0


def edgetam_parts(side: int) -> dict:
    """EdgeTAM's own backbone with random weights; everything behind it at its published width."""
    return {
        "vision_config": {
            "backbone_config": {
                "model_type": "timm_wrapper", "architecture": "repvit_m1", "num_classes": 2,
                "model_args": {"in_chans": 3, "features_only": True, "out_indices": (0, 1, 2, 3)},
            },
            "model_type": "edgetam_vision_model",
            "backbone_feature_sizes": [[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
        },
        "prompt_encoder_config": {"image_size": side},
    }  # fmt: skip


def test_edgetam_answers_through_the_same_code(picture):
    ensure_transformers()  # first: timm looks for torchvision too
    pytest.importorskip("timm", reason="EdgeTAM's backbone comes from timm, which is not installed")
    torch.manual_seed(5)
    network = transformers_class("EdgeTamModel")(transformers_class("EdgeTamConfig")(**edgetam_parts(256)))
    model = Sam2(network, "edgetam", CPU)
    embedding = model.encode(picture)
    assert model.predict(embedding, Prompts(points_rc=((30, 50),), labels=(1,))).masks.shape == (3, 61, 113)


def test_edgetam_follows_an_object_through_slices():
    ensure_transformers()  # first: timm looks for torchvision too
    pytest.importorskip("timm", reason="EdgeTAM's backbone comes from timm, which is not installed")
    torch.manual_seed(6)
    config = transformers_class("EdgeTamVideoConfig")(
        **edgetam_parts(256), image_size=256, memory_attention_rope_feat_sizes=[16, 16]
    )
    network = transformers_class("EdgeTamVideoModel")(config).eval()
    following = Propagator(network, transformers_class("EdgeTamVideoInferenceSession"), CPU)
    found = following.propagate(stack(3), {1: seed_mask()}, lambda *_: None)
    assert found.shape == (3, 37, 53) and np.isfinite(found).all()
