"""Whether the discriminant of a single reference may be taken at its word.

Cells of one thing say the same again and again. A discriminant of thirty nuclei knows nuclei; that of a single person
knows this person's coat, and takes everybody else for background. Parts of the reference that are kept back tell the
two apart: in nearly all pictures of nuclei they are found by the others with Dice 0.7 or more, in most photographs of
persons, tables, cups and toilets with less.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.cluster import k_means
from learners.methods.reference.head import dice_at, fit, own_threshold, sides
from learners.methods.reference.reference_slices import Cells

PARTS = 3  # of the object's cells, in space
ENOUGH = 0.7  # Dice
RARE = 0.005  # of a picture; Otsu's threshold splits the background instead of finding less than that


def trusted(x: Tensor, cells: Cells) -> bool:
    """Whether the parts of a reference's objects are found by what is learned from the others and the threshold that
    a picture finds itself. `x`: (D, h, w) features.

    False where there is too little to part; True where the object is so rare that there is no other way to find it.
    """
    if float(cells.yes.float().mean()) < RARE:
        return True
    part = _parts(cells)
    found = [
        score for n in range(PARTS) if (score := _found(x, cells, torch.from_numpy(part == n))) is not None
    ]
    return bool(found) and float(np.mean(found)) >= ENOUGH


def _found(x: Tensor, cells: Cells, here: Tensor) -> float | None:
    """Dice in the part that (h, w) `here` says; None where it or the rest lacks a side."""
    head = fit([(x, Cells(cells.yes & ~here, cells.no & ~here))])
    if head is None or not (cells.yes & here).any() or not (cells.no & here).any():
        return None
    yes, no = sides([head.scores(x)], [Cells(cells.yes & here, cells.no & here)])
    threshold = own_threshold(torch.cat([yes, no]), 0.0, -np.inf)
    return float(dice_at(yes, no, torch.tensor([threshold]))[0])


def _parts(cells: Cells) -> NDArray[np.intp]:
    """(h, w) the part of the object's cells that lies nearest."""
    at = torch.nonzero(cells.yes).numpy().astype(np.float32)
    rows, columns = np.indices(tuple(cells.yes.shape))
    if len(at) < PARTS:
        return np.zeros_like(rows)
    group = k_means(at, PARTS, np.random.default_rng(0))
    centres = np.stack([at[group == n].mean(0) for n in np.unique(group)])
    grid = np.stack([rows, columns], -1)[:, :, None]
    return ((grid - centres) ** 2).sum(-1).argmin(-1)
