"""What the built-in network learns from: its own answers, corrected as a person would, and its candidates' loss."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.clicknet.network import Network, Output
from models.clicknet_training.examples import Batch
from models.clicknet_training.simulate import LAST, correct

ROUNDS = (0.4, 0.27, 0.18, 0.1, 0.05)  # chance of 0, 1, 2, ... rounds of corrections before the step
FORGET = 0.25  # chance that the last mask is not given: in use the first pass on a new scale has none


def corrected(network: Network, batch: Batch, rng: np.random.Generator, *, half: bool) -> np.ndarray:
    """Boards after a few rounds of corrections of the network's own answers."""
    boards = batch.boards.copy()
    network.eval()
    for _ in range(rng.choice(len(ROUNDS), p=ROUNDS)):
        with torch.inference_mode():
            answers = forward(network, batch.crops, boards, half=half).logits[:, 0].sigmoid().numpy()
        for board, truth, answer in zip(boards, batch.truths, answers, strict=True):
            board[LAST] = answer
            correct(rng, board, truth, answer > 0.49)
    return boards


def forward(network: Network, crops: np.ndarray, boards: np.ndarray, *, half: bool) -> Output:
    """`half`: in bf16, which is slow on a processor that lacks it."""
    x = torch.from_numpy(np.concatenate([crops, boards], 1)).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        return network(x)


def loss_of(output: Output, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The answer learns always, the better of the other two candidates as well, scores from the true IoU."""
    each = torch.stack([_mask_loss(output.logits[:, k], truth) for k in range(output.logits.shape[1])], 1)
    main, other = each[:, 0].mean(), each[:, 1:].min(1).values.mean()
    iou = _iou(output.logits > 0, truth[:, None] > 0.5)
    score = F.binary_cross_entropy_with_logits(output.scores, iou)
    loss = main + 0.4 * other + 0.05 * each[:, 1:].mean() + 0.2 * score
    report = dict(main=main, other=other, score=score, iou=iou[:, 0].mean(), best=iou.max(1).values.mean())
    return loss, {name: round(value.item(), 4) for name, value in report.items()}


def _mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy plus soft Dice, (N,)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2))
    p = logits.sigmoid()
    dice = (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return entropy + 1 - dice


def _iou(masks: Tensor, truth: Tensor) -> Tensor:
    return (masks & truth).sum((2, 3)) / (masks | truth).sum((2, 3)).clamp(min=1)
