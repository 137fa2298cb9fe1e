"""SFR: a tuned SAM looks at each volume as one mosaic of its slices, and a 3D network learns from what it says.

"Stitching, Fine-tuning, Re-training: a SAM-enabled framework for semi-supervised 3D medical image segmentation", IEEE
TMI 2025. A round is both halves: SAM is tuned on the mosaics of labelled volumes (what nobody labelled has no weight,
so a few slices will do), proposes every volume without labels once, and the ordinary network trains on labels and
proposals with the rest of the time. Routing as in SFR+: a volume that the last model was sure of joins the tuning with
that model's labels instead. Changed: the fill stands in for labels as far as it is trusted; slices are enlarged by
whole numbers to fill their cells; our looks instead of Bezier curves; no second consistency loss, since the published
network is the average anyway. Tested with a small SAM of random weights; not run with trained ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from learners.methods.stpp import select
from learners.methods.supervised import labelled_part
from learners.progress import STOP_FILE, ProgressReport
from learners.rounds.own_round import PreparedRound, train_prepared
from learners.spec import Example, Pseudo, RoundResult, RoundSpec, Unready
from learners.training.augment import strong_look
from learners.training.budget import Budget
from learners.training.data import ImageReader
from learners.training.losses import CEDice, Sample
from learners.training.plan import THIN, device_of
from learners.training.targets import Classes, trust_at
from learners.training.trainer import Part, Recipe, StepContext
from models import GIVEN, PromptChoice
from models.sam.mosaic import Mosaic
from models.sam.mosaic_segmenter import MosaicSam
from storage.arrays import UNLABELLED, open_npy, write_npy

WEIGHTS = ("medsam", "sam_vit_b", "sam_vit_l", "sam_vit_h", "microsam_vit_b_lm")
TUNING = 0.5  # of the round's seconds, tuning and proposing; the rest trains the network
MAX_MOSAIC = 81  # slices of a mosaic: 9 x 9
SURE = 0.985  # mean confidence from which on a volume joins the tuning
RATE, DECAY = 1e-3, 0.1
STATE = "mosaic.safetensors"


@dataclass(frozen=True)
class Page:
    """One mosaic with its supervision."""

    x: NDArray[np.float32]  # (side, side)
    y: NDArray[np.int64]
    w: NDArray[np.float32]


def run(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong."""
    return train_prepared(spec, lambda asked: PreparedRound(proposed(asked, *sam_here(asked.prompts))))


def sam_here(prompts: PromptChoice) -> tuple[Any, str]:
    """The project's own prompt model where that is a SAM with low-rank updates, else the first of these that is on this
    machine; and the digest of its file. Raises Unready where none is."""
    from models.sam.checkpoint import SAM_WIDTHS, open_checkpoint
    from models.sam.model import sam_network
    from models.weights import CATALOGUE, find, weights_folder

    if prompts.name == GIVEN and prompts.file is not None and prompts.file.is_file():
        given = open_checkpoint(prompts.file)
        if given.kind in SAM_WIDTHS.values():
            return sam_network(given, prompts.file.name), given.digest
    for name in sorted(WEIGHTS, key=lambda name: name != prompts.name):
        path = find(CATALOGUE[name])
        if path is not None:
            found = open_checkpoint(path)
            return sam_network(found, path.name), found.digest
    raise Unready(
        f"SFR needs SAM's weights in {weights_folder()}; download SAM ViT-B in the Model tab, "
        "give a checkpoint with --checkpoint, or choose another learner"
    )


def proposed(spec: RoundSpec, sam: Any, digest: str) -> RoundSpec:
    """The same round with the proposal of the SAM of this file for every volume without labels, and the seconds that
    are left."""
    classes, device = Classes(spec.class_ids), device_of(spec.device)
    cases = [ImageReader(e, classes, 1) for e in spec.examples if e.shape[0] >= THIN and not e.all_held]
    taught = [case for case in cases if case.labelled or sure_of(case.example)]
    if not any(case.labelled for case in taught):
        raise Unready("SFR needs a volume with a labelled slice that is not held out; label one more")
    torch.manual_seed(spec.seed)
    base = {"sam": digest, "classes": " ".join(map(str, spec.class_ids))}
    network = restored(MosaicSam(sam, len(classes)), spec.goes_on_from, base).to(device)
    pages = [page for case in taught for page in pages_of(case, network.side, classes)]
    steps = None if spec.steps is None else max(1, spec.steps // 2)
    budget = Budget(spec.seconds * TUNING, steps, spec.directory / STOP_FILE)
    ProgressReport(spec.directory).say("training")
    tune(network, pages, budget, spec.seed)
    save_file({k: v.cpu().contiguous() for k, v in network.learned().items()}, spec.directory / STATE, base)
    mine = {
        case.example.image_id: told(network, case, classes, spec.directory)
        for case in cases
        if not case.labelled and case not in taught
    }
    examples = tuple(
        replace(e, pseudo=mine.get(e.image_id, e.pseudo if e.known else None)) for e in spec.examples
    )
    return replace(spec, examples=examples, seconds=spec.seconds * (1 - TUNING))


def sure_of(example: Example) -> bool:
    """SFR+: whether the last model was so sure of this volume that SAM may learn from it."""
    if example.pseudo is None or example.known is not None:
        return False
    return float(open_npy(example.pseudo.confidence).mean()) / 255 >= SURE


def tune(network: MosaicSam, pages: Sequence[Page], budget: Budget, seed: int) -> None:
    """A mosaic a step, mirrored and turned as a whole; the encoder moves by its low-rank updates alone."""
    rng, draw = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    weights = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
    loss_of, device = CEDice(), weights[0].device
    network.train()
    budget.start()
    while budget.left():
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - budget.progress) ** 0.9
        page = pages[int(rng.integers(len(pages)))]
        quarter, mirror = int(rng.integers(4)), bool(rng.random() < 0.5)
        x, y, w = (turned(a, quarter, mirror).to(device) for a in (page.x, page.y, page.w))
        x = strong_look(x[None, None].clamp(0, 1), draw)[:, 0]
        loss = loss_of(network(x), Sample(x[:, None], y[None], w[None], w[None]))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        budget.step += 1
    network.eval()


def turned(array: NDArray, quarter: int, mirror: bool) -> torch.Tensor:
    out = np.rot90(array, quarter)
    return torch.from_numpy((out[::-1] if mirror else out).copy())


def pages_of(case: ImageReader, side: int, classes: Classes) -> list[Page]:
    """Mosaics of a volume that people labelled, or of one that the last model was sure of."""
    out = []
    for region, mosaic in parts(case.example, side):
        if case.example.known is None:
            target = case.proposed(region)
        else:
            target = case.target(region, lambda rounds: trust_at(rounds))
        picture = mosaic.stitch(case.look(region)[0], 0.0)
        y, w = mosaic.stitch(target.y, UNLABELLED), mosaic.stitch(target.w, 0.0)
        if w.any():
            out.append(Page(picture, y.astype(np.int64), w))
    return out


def parts(example: Example, side: int) -> list[tuple[tuple[slice, slice, slice], Mosaic]]:
    """Nearly equal stacks of at most `MAX_MOSAIC` slices."""
    depth, rows, columns = example.shape
    count = math.ceil(depth / MAX_MOSAIC)
    edges = [round(i * depth / count) for i in range(count + 1)]
    return [
        ((slice(a, b), slice(0, rows), slice(0, columns)), Mosaic(b - a, rows, columns, side))
        for a, b in zip(edges, edges[1:])
    ]


def told(network: MosaicSam, case: ImageReader, classes: Classes, directory: Path) -> Pseudo:
    """What the tuned SAM says about a volume, on disk."""
    shape, device = case.example.shape, next(network.parameters()).device
    values, sure = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for region, mosaic in parts(case.example, network.side):
        picture = torch.from_numpy(mosaic.stitch(case.look(region)[0], 0.0)).to(device).clamp(0, 1)
        with torch.inference_mode():
            p = mosaic.unstitch(network(picture[None]).softmax(1)[0].float().cpu().numpy())
        values[region] = classes.to_values()[p.argmax(0)]
        sure[region] = np.rint(p.max(0) * 255)
    paths = [directory / f"mosaic-{name}-{case.example.image_id}.npy" for name in ("classes", "confidence")]
    write_npy(paths[0], values)
    write_npy(paths[1], sure)
    return Pseudo(paths[0], paths[1], float(sure.mean()) / 255)


def restored(network: MosaicSam, parent: Path | None, base: dict[str, str]) -> MosaicSam:
    """As the last round left it, where that tuned the same SAM for the same classes."""
    if parent is not None and (parent / STATE).exists():
        with safe_open(parent / STATE, "pt") as file:
            same = file.metadata() == base
        if same:
            network.load_state_dict(load_file(parent / STATE), strict=False)
    return network


def mix(labelled: Sample, unlabelled: Sample | None, context: StepContext) -> list[Part]:
    """Labels and SAM's proposals count alike."""
    parts = [labelled_part(labelled, context)]
    if unlabelled is not None:
        parts.append(Part(context.views.strong(unlabelled, context.rng), context.weight))
    return parts


def make() -> Recipe:
    return Recipe(
        mix=mix,
        select=select,
        source="pseudo",
        fills=True,
        weight=1.0,
        ramp=0.0,
        good_teacher=0.0,
        stable=1.0,
    )
