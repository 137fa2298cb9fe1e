"""What the built-in network learns from: its own answers, corrected as a person would, and its candidates' loss."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from models.clicknet.network import Network, Output
from models.clicknet_training.corrections import correct
from models.clicknet_training.examples import Batch
from models.clicknet_training.simulate import LAST, NEGATIVE

ROUNDS = (0.4, 0.27, 0.18, 0.1, 0.05)  # chance of 0, 1, 2, ... rounds of corrections before the step
SECOND_LOOK = 0.35  # chance that the answer comes back without a new prompt, as in use from another scale
COARSE = 0.6  # chance that this answer was given at half the size, as on a wider look
CUT = 0.4  # chance that the last mask is cut at a half, as one is that comes back from the page
FORGET = 0.25  # chance that the last mask is not given: in use the first pass on a new scale has none


def generator(device: str, *seed: int) -> Generator:
    """Random numbers on that device, the same ones for the same seed."""
    return Generator(device).manual_seed(
        int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
    )


def corrected(
    network: Network, batch: Batch, rng: Generator, *, half: bool, second_looks: bool = True
) -> Tensor:
    """(N, 4, S, S) float32 boards after a few rounds of corrections, at times with the answer to these very prompts.

    A rough mask that was given is corrected first, then the network's own answers. The last mask is forgotten now and
    then. Without `second_looks` every answer comes back as it was given, and with new prompts.
    """
    boards = batch.boards.clone()
    rough = boards[:, LAST].amax((1, 2)) > 0
    if rough.any():
        begun = boards[rough]
        correct(begun, batch.truths[rough], begun[:, LAST] > 0.5, rng)
        boards[rough] = begun
    network.eval()
    chances = torch.tensor([ROUNDS], device=rng.device)
    for _ in range(int(torch.multinomial(chances, 1, generator=rng))):
        answers = _answers(network, batch.crops, boards, half=half)
        correct(boards, batch.truths, answers > 0.49, rng)
        if second_looks:
            cut = torch.rand(len(boards), 1, 1, generator=rng, device=rng.device) < CUT
            answers = torch.where(cut, (answers > 0.5).float(), answers)
        boards[:, LAST] = answers
    if second_looks:
        again, coarse = torch.rand(2, generator=rng, device=rng.device).tolist()
        if again < SECOND_LOOK:
            look = _coarse_answers if coarse < COARSE else _answers
            boards[:, LAST] = look(network, batch.crops, boards, half=half)
    forgotten = torch.rand(len(boards), generator=rng, device=rng.device) < FORGET
    boards[forgotten, LAST] = 0
    return boards


def _answers(network: Network, crops: Tensor, boards: Tensor, *, half: bool) -> Tensor:
    """(N, S, S) probabilities of the first candidate."""
    with torch.inference_mode():
        answers = forward(network, crops, boards, half=half).logits[:, 0].sigmoid()
    return answers.clone()


def _coarse_answers(network: Network, crops: Tensor, boards: Tensor, *, half: bool) -> Tensor:
    """The same, seen at half the size; strokes are drawn about as wide as they would be there."""
    strokes = F.max_pool2d(F.max_pool2d(boards[:, : NEGATIVE + 1], 2), 3, 1, 1)
    rest = F.avg_pool2d(boards[:, NEGATIVE + 1 :], 2)
    small = F.avg_pool2d(crops.float(), 2)
    answers = _answers(network, small, torch.cat([strokes, rest], 1), half=half)
    return F.interpolate(answers[:, None], size=boards.shape[-2:], mode="bilinear")[:, 0]


def forward(network: Network, crops: Tensor, boards: Tensor, *, half: bool) -> Output:
    """(N, 3, S, S) crops, 0 to 255, with float32 boards. `half`: in bf16, which is slow on processors that lack it."""
    x = torch.cat([standardised(crops), boards], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        output: Output = network(x)
        return output


def standardised(crops: Tensor) -> Tensor:
    """`inputs.standardise` of many crops at once: (N, 3, S, S), uint8 or float32, to float32."""
    x = crops.float()
    spread, mean = torch.std_mean(x, (1, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (spread + 4)


def loss_of(output: Output, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The answer learns always, the better of the other two candidates as well, scores from the true IoU."""
    each = torch.stack([_mask_loss(output.logits[:, k], truth) for k in range(output.logits.shape[1])], 1)
    main, other = each[:, 0].mean(), each[:, 1:].min(1).values.mean()
    iou = _iou(output.logits > 0, truth[:, None] > 0.5)
    score = F.binary_cross_entropy_with_logits(output.scores, iou)
    loss = main + 0.4 * other + 0.05 * each[:, 1:].mean() + 0.2 * score
    report = dict(main=main, other=other, score=score, iou=iou[:, 0].mean(), best=iou.max(1).values.mean())
    return loss, {name: value.detach() for name, value in report.items()}


def _mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy plus soft Dice, (N,)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2))
    p = logits.sigmoid()
    dice = (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return entropy + 1 - dice


def _iou(masks: Tensor, truth: Tensor) -> Tensor:
    return (masks & truth).sum((2, 3)) / (masks | truth).sum((2, 3)).clamp(min=1)
