"""SAM behind our seam: the same answers as the official predictor, and wrong files named as what they are."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from models.prompt import Prompts, Scribble
from models.sam import onnx_decoder as sam_onnx
from models.sam.checkpoint import WrongFile, open_checkpoint
from models.sam.decoder import TorchDecoder
from models.sam.model import (
    DevicePrecision,
    SamModel,
    best_place,
    empty_sam,
    enlarged_where_needed,
    full_size,
    load_sam,
    sam_network,
)
from models.sam.onnx_decoder import OnnxDecoder, export, onnx_decoder, session
from models.sam.prompts import MAX_POINTS, sam_prompts
from models.sam.tiny_vit import TinyViT
from models.sam.torchvision_cpu import ensure_torchvision, non_maximum_suppression
from tests.support.small_models import CPU, SIDE, small_sam

PROMPTS = {
    "click": Prompts(points_rc=((31, 70),), labels=(1,)),
    "clicks": Prompts(points_rc=((31, 70), (10, 12), (40, 90)), labels=(1, 0, 1)),
    "box": Prompts(box=(12, 20, 48, 97)),
    "box and click": Prompts(box=(12, 20, 48, 97), points_rc=((20, 30),), labels=(0,)),
}


@pytest.fixture(scope="module")
def sam():
    return small_sam()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (61, 113, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", PROMPTS)
def test_masks_equal_the_official_predictor(sam, picture, name):
    from segment_anything import SamPredictor

    prompts = PROMPTS[name]
    official = SamPredictor(sam)
    official.set_image(picture)
    expected, scores, _ = official.predict(
        point_coords=np.array([(c, r) for r, c in prompts.points_rc]) if prompts.points_rc else None,
        point_labels=np.array(prompts.labels) if prompts.labels else None,
        box=np.array(prompts.box)[[1, 0, 3, 2]] if prompts.box else None,
        multimask_output=name == "click",
    )
    model = SamModel(sam, "small", CPU)
    found = model.predict(model.encode(picture), prompts)
    order = np.argsort(-scores, kind="stable")
    # the embedding is kept in half precision, so a pixel whose logit is nearly 0 may fall on the other side
    assert np.mean(found.masks != expected[order]) < 0.005
    assert np.abs(found.scores - np.clip(scores[order], 0, 1)).max() < 5e-3
    assert 0 < found.masks.mean() < 1


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_onnxruntime_answers_as_torch_does(sam, picture, prompts, tmp_path_factory):
    pytest.importorskip("onnx")
    path = tmp_path_factory.getbasetemp() / "small-decoder.onnx"
    if not path.exists():
        export(sam, path)
    model = SamModel(sam, "small", CPU)
    features = model.encode(picture).arrays["features"].astype(np.float32)
    mask = picture[..., 0] > 128
    for given in (prompts, dataclasses.replace(prompts, mask=mask)):
        asked = sam_prompts(given, picture.shape[:2], SIDE)
        logits, scores = OnnxDecoder(session(path), SIDE)(features, asked)
        expected, wanted = TorchDecoder(sam)(features, asked)
        assert np.abs(logits - expected).max() < 1e-3 * max(1, np.abs(expected).max())
        assert np.abs(scores - wanted).max() < 1e-3


def test_the_decoder_is_exported_once_and_the_faster_of_the_two_decodes(sam, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    path = tmp_path / "decoder.onnx"
    seconds = {OnnxDecoder: 0.1, TorchDecoder: 0.2}
    answer = sam_onnx.timed
    monkeypatch.setattr(sam_onnx, "timed", lambda decode, *a: (answer(decode, *a)[0], seconds[type(decode)]))
    assert isinstance(onnx_decoder(sam, path), OnnxDecoder)
    written = path.stat().st_mtime_ns
    seconds[OnnxDecoder] = 0.3
    assert isinstance(onnx_decoder(sam, path), TorchDecoder)
    assert path.stat().st_mtime_ns == written and list(tmp_path.iterdir()) == [path]


def test_a_decoder_that_answers_otherwise_or_cannot_be_exported_is_not_used(sam, tmp_path):
    pytest.importorskip("onnx")
    other = small_sam(seed=8)
    export(other, tmp_path / "other.onnx")
    assert isinstance(onnx_decoder(sam, tmp_path / "other.onnx"), TorchDecoder)
    assert isinstance(onnx_decoder(sam, tmp_path / "missing" / "decoder.onnx"), TorchDecoder)


def test_the_encoder_runs_in_half_precision_where_the_processor_has_it(sam, picture, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for able, precision in (({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert best_place().precision == precision
    half = SamModel(small_sam(), "small", DevicePrecision(torch.device("cpu"), torch.bfloat16))
    full = SamModel(small_sam(), "small", CPU)
    assert half.model_id != full.model_id  # their embeddings differ a little and are not mixed
    features = [model.encode(picture).arrays["features"].astype(np.float32) for model in (half, full)]
    difference = np.abs(features[0] - features[1])
    assert 0 < difference.mean() < 0.05 * np.abs(features[1]).mean() + 0.01


def test_a_single_click_gives_three_candidates_and_more_prompts_one(sam, picture):
    model = SamModel(sam, "small", CPU)
    embedding = model.encode(picture)
    assert len(model.predict(embedding, PROMPTS["click"]).masks) == 3
    assert len(model.predict(embedding, PROMPTS["clicks"]).masks) == 1


def test_an_embedding_is_small_and_belongs_to_its_model(sam, picture):
    model = SamModel(sam, "small", CPU)
    embedding = model.encode(picture)
    assert embedding.arrays["features"].dtype == np.float16
    with pytest.raises(ValueError, match="made by small-128"):
        SamModel(sam, "other", CPU).predict(embedding, PROMPTS["click"])


def test_prompts_outside_the_picture_are_clipped_and_hundreds_are_thinned():
    points = tuple((float(i), -50.0) for i in range(300))
    given = sam_prompts(Prompts(points_rc=points, labels=(1,) * 300), (61, 113), SIDE)
    assert len(given.labels) == MAX_POINTS
    assert given.points_xy.min() >= 0 and given.points_xy[:, 1].max() <= SIDE


def test_a_stroke_becomes_a_few_points_with_its_label():
    stroke = Scribble(0, ((5, 5), (5, 100)))
    given = sam_prompts(Prompts(points_rc=((20, 20),), labels=(1,), scribbles=(stroke,)), (61, 113), SIDE)
    assert list(given.labels) == [1, 0, 0, 0, 0, 0, 0]


def test_nothing_pointed_at_is_refused():
    with pytest.raises(ValueError, match="click on it"):
        sam_prompts(Prompts(points_rc=((1, 1),), labels=(0,)), (61, 113), SIDE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 3)])
def test_thin_and_tiny_pictures_are_answered(sam, shape):
    model = SamModel(sam, "small", CPU)
    picture = np.full((*shape, 3), 90, np.uint8)
    assert (
        model.predict(model.encode(picture), Prompts(points_rc=((0, 0),), labels=(1,))).masks.shape[1:]
        == shape
    )


def test_enlarging_only_around_a_mask_gives_the_same_mask():
    rows, columns = np.indices((SIDE // 4, SIDE // 4), np.float32)
    logits = (6 - np.hypot(rows - 9, columns - 20)).astype(np.float32)
    shape = (301, 407)
    whole = full_size(logits, shape, SIDE)
    square = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], (SIDE, SIDE), mode="bilinear"
    )
    inner = square[0, 0, : round(SIDE * 301 / 407), :].numpy()
    assert np.mean(enlarged_where_needed(inner, shape) != whole) < 0.002 and whole.any()


def test_tiny_vit_has_the_published_size_and_shapes():
    ensure_torchvision()
    from segment_anything.modeling.common import LayerNorm2d

    torch.manual_seed(0)
    encoder = TinyViT(192, LayerNorm2d).eval()
    assert sum(p.numel() for p in encoder.parameters()) == 6_065_532
    with torch.inference_mode():
        assert encoder(torch.rand(1, 3, 192, 192)).shape == (1, 256, 12, 12)


def test_mobile_sam_loads_strictly_under_official_names(tmp_path):
    torch.manual_seed(0)
    network = empty_sam("vit_t")
    names = network.state_dict().keys()
    for name in (
        "image_encoder.layers.0.blocks.1.conv2.c.weight",
        "image_encoder.layers.1.blocks.0.attn.attention_biases",
        "image_encoder.layers.2.downsample.conv3.bn.running_var",
        "image_encoder.layers.3.blocks.1.local_conv.c.weight",
        "image_encoder.norm_head.weight",
        "image_encoder.neck.3.bias",
    ):
        assert name in names
    path = tmp_path / "mine.pt"
    torch.save({"model_state": {f"sam.{k}": v for k, v in network.state_dict().items()}}, path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.kind == "vit_t" and checkpoint.state.keys() == names


@pytest.mark.slow
@pytest.mark.parametrize("wrap", ["MedSAM", "micro-sam", "original"])
def test_vit_b_checkpoints_load_strictly_under_official_names(tmp_path, wrap):
    """One number repeated stands for every tensor, so that the file is small; names and shapes are the real ones."""
    torch.manual_seed(0)
    empty = empty_sam("vit_b")
    state = {name: torch.full((1,), 0.25).expand(value.shape) for name, value in empty.state_dict().items()}
    for name, shape in {
        "image_encoder.pos_embed": (1, 64, 64, 768),
        "image_encoder.blocks.11.attn.rel_pos_h": (127, 64),
        "image_encoder.neck.3.weight": (256,),
        "prompt_encoder.mask_downscaling.6.bias": (256,),
        "mask_decoder.output_hypernetworks_mlps.3.layers.2.weight": (32, 256),
        "mask_decoder.iou_prediction_head.layers.2.bias": (4,),
    }.items():
        assert state[name].shape == shape, name
    wrapped = {
        "model_state": {f"sam.{k}": v for k, v in state.items()},
        "decoder_state": {"a": torch.zeros(1)},
    }
    checkpoint = open_checkpoint(save(tmp_path / "mine.pt", wrapped if wrap == "micro-sam" else state))
    assert checkpoint.kind == "vit_b"
    network = sam_network(checkpoint, "mine.pt")
    assert all((value == 0.25).all() for value in network.state_dict().values())
    checkpoint.state.pop("image_encoder.neck.3.weight")
    with pytest.raises(WrongFile, match="does not fit"):
        sam_network(checkpoint, "mine.pt")


def save(path: Path, state: dict) -> Path:
    torch.save(state, path)
    return path


def sam_state(width: int) -> dict[str, torch.Tensor]:
    return {
        "image_encoder.pos_embed": torch.zeros(1, 64, 64, width),
        "prompt_encoder.no_mask_embed.weight": torch.zeros(1, 256),
        "image_encoder.blocks.11.norm1.weight": torch.zeros(width),
    }


def test_a_file_is_named_for_what_it_is(tmp_path):
    hiera = {
        "image_encoder.trunk.patch_embed.proj.weight": torch.zeros(96, 3, 7, 7),
        "image_encoder.trunk.blocks.11.norm1.weight": torch.zeros(1),
        "no_obj_embed_spatial": torch.zeros(1),
    }
    assert open_checkpoint(save(tmp_path / "a.pt", sam_state(768))).kind == "vit_b"
    with pytest.raises(WrongFile, match="is SAM 2.1 tiny, not SAM vit_b"):
        load_sam(save(tmp_path / "b.pt", {"model": hiera}), CPU)
    with pytest.raises(WrongFile, match="SAM-HQ"):
        load_sam(
            save(tmp_path / "c.pth", {**sam_state(768), "mask_decoder.hf_token.weight": torch.zeros(1)}), CPU
        )
    with pytest.raises(WrongFile, match="network of another kind"):
        load_sam(save(tmp_path / "d.pth", {"fc.weight": torch.zeros(2, 3)}), CPU)
    with pytest.raises(WrongFile, match="does not fit"):
        load_sam(save(tmp_path / "e.pth", sam_state(768)), CPU)


def test_what_is_no_checkpoint_is_refused_in_one_sentence(tmp_path):
    files = {
        "empty": (b"", "empty"),
        "page": (b"\n<!DOCTYPE html><html>", "web page"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        "text": (b"hello there, this is text", "not a PyTorch checkpoint"),
        "tensors": (b"\x10\0\0\0\0\0\0\0{}", "safetensors"),
    }
    for name, (content, word) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WrongFile, match=word):
            open_checkpoint(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("weights.txt", "x")
    with pytest.raises(WrongFile, match="zip archive with weights.txt"):
        open_checkpoint(tmp_path / "archive.zip")
    whole = save(tmp_path / "whole.pth", sam_state(768)).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WrongFile, match="cut short"):
        open_checkpoint(tmp_path / "cut.pth")


class RunsCode:
    def __reduce__(self):
        return print, ("this must never be printed",)


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path, capsys):
    with pytest.raises(WrongFile, match="more than weights"):
        open_checkpoint(save(tmp_path / "evil.pth", {"model": RunsCode()}))
    assert "never" not in capsys.readouterr().out


def test_our_non_maximum_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], dtype=torch.float32)
    assert non_maximum_suppression(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]
