"""From features to what is alike: a discriminant and prototypes for each class, learned from the references' cells.

The discriminant is ridge regression on unit vectors, half of the weight on the object's cells and half on the others:
a prototype from which what objects and background have in common was taken out. From one reference of nuclei it is at
Dice 0.76 to 0.90, the nearest of four prototypes a side on the same features at 0.54 to 0.79
(docs/measured/references.md). Learning from turned and relit looks as well was no help.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learners.methods.reference.reference_slices import Cells

RIDGE = 1e-3
PROTOTYPES = 4  # a side
ROUNDS = 8  # of k-means
STEPS = 41  # thresholds that are tried
CLEARLY_NOT = -0.7  # scores below it have no say in where an image's own threshold lies
FEWEST = 20  # cells that can tell one


@dataclass(frozen=True)
class Scaling:
    """Each channel as far from its mean in the references as it usually is there; levels weigh the same."""

    means: tuple[Tensor, ...]  # (D,) of each level
    spreads: tuple[Tensor, ...]

    def __call__(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels of (D, h, w) to one (sum of D, h, w)."""
        parts = [
            (x - m[:, None, None]) / s[:, None, None] / len(m) ** 0.5
            for x, m, s in zip(levels, self.means, self.spreads, strict=True)
        ]
        return torch.cat(parts)


@dataclass(frozen=True)
class ReferenceHead:
    """What one class looks like. A score above 0 is the class, about 1 what its typical cells have."""

    weights: Tensor  # (D,)
    offset: float
    yes: Tensor  # (P, D) unit vectors: what objects look like
    no: Tensor  # (P, D): what else there is

    def scores(self, x: Tensor) -> Tensor:
        """(D, h, w) to (h, w)."""
        unit = units(x)
        return (unit @ self.weights - self.offset).reshape(x.shape[1:])

    def nearest(self, x: Tensor) -> Tensor:
        """(h, w): the cosine to the nearest prototype of the object, less that to the nearest other one."""
        unit = units(x)
        near = (unit @ self.yes.T).max(1).values - (unit @ self.no.T).max(1).values
        return near.reshape(x.shape[1:])


def likeness_of(head: ReferenceHead, x: Tensor) -> Tensor:
    """(D, h, w) to (h, w): the cosine to the one prototype of the object."""
    return (units(x) @ F.normalize(head.yes.mean(0), dim=0)).reshape(x.shape[1:])


def scaling_of(grids: Sequence[Sequence[Tensor]]) -> Scaling:
    means, spreads = [], []
    for level in zip(*grids, strict=True):
        flat = torch.cat([x.flatten(1) for x in level], 1)
        means.append(flat.mean(1))
        spread = flat.std(1)  # what is the same everywhere in the references says nothing elsewhere
        spreads.append(torch.where(spread > 1e-4, spread + 1e-3, torch.full_like(spread, torch.inf)))
    return Scaling(tuple(means), tuple(spreads))


def units(x: Tensor) -> Tensor:
    """(D, h, w) to (h * w, D) unit vectors."""
    return F.normalize(x.flatten(1).T, dim=1)


def fit(views: Sequence[tuple[Tensor, Cells]]) -> ReferenceHead | None:
    """A head from (D, h, w) features and what is known of their cells; None without both sides."""
    yes = torch.cat([units(x)[cells.yes.flatten()] for x, cells in views])
    no = torch.cat([units(x)[cells.no.flatten()] for x, cells in views])
    if not len(yes) or not len(no):
        return None
    weights = _ridge(yes, no)
    return ReferenceHead(weights[:-1], -float(weights[-1]), prototypes(yes), prototypes(no))


def _ridge(yes: Tensor, no: Tensor) -> Tensor:
    """(D + 1,) balanced ridge regression to 1 and -1, the last is the constant."""
    x = torch.cat([yes, no]).double()
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    y = torch.cat([x.new_ones(len(yes)), -x.new_ones(len(no))])
    w = torch.cat([x.new_full((len(yes),), 0.5 / len(yes)), x.new_full((len(no),), 0.5 / len(no))])
    weighted = (x * w[:, None]).T
    return torch.linalg.solve(weighted @ x + RIDGE * torch.eye(x.shape[1]).to(x), weighted @ y).float()


def prototypes(rows: Tensor, count: int = PROTOTYPES) -> Tensor:
    """(P, D) centres of unit vectors by cosine, the first at their mean, the next where they are furthest from it."""
    centres = [F.normalize(rows.mean(0), dim=0)]
    for _ in range(min(count, len(rows)) - 1):
        near = (rows @ torch.stack(centres).T).max(1).values
        centres.append(rows[near.argmin()])
    found = torch.stack(centres)
    for _ in range(ROUNDS):
        group = (rows @ found.T).argmax(1)
        sums = torch.zeros_like(found).index_add_(0, group, rows)
        found = torch.where(sums.norm(dim=1, keepdim=True) > 0, F.normalize(sums, dim=1), found)
    return found


def own_threshold(scores: Tensor, usual: float, gate: float) -> float:
    """Otsu's threshold of one image's cells that are not clearly something else; the usual one where nothing in it
    peaks as objects do.

    One threshold does not suit pictures of another laboratory or stain: with one reference of one kind of nuclei Dice
    in two other kinds is 0.78 instead of 0.65, in the reference's own kind the same within 0.04
    (docs/measured/references.md).
    """
    unsure = scores[scores > CLEARLY_NOT]
    if len(unsure) < FEWEST or float(scores.max()) <= usual + gate:
        return usual
    return otsu(unsure)


def best_threshold(scores: Sequence[Tensor], cells: Sequence[Cells]) -> float:
    """The score from which on cells are taken for the object so that Dice on these cells is best."""
    yes, no = sides(scores, cells)
    if not len(yes) or not len(no):
        return 0.0
    tried = torch.linspace(-1, 1, STEPS)
    dice = dice_at(yes, no, tried)
    near = dice >= dice.max() - 0.01  # of thresholds that are as good the middle one
    return float(tried[near].median())


def sides(scores: Sequence[Tensor], cells: Sequence[Cells]) -> tuple[Tensor, Tensor]:
    """Scores of cells that are the object, and of cells that are not."""
    pairs = list(zip(scores, cells, strict=True))
    return torch.cat([s[c.yes] for s, c in pairs]), torch.cat([s[c.no] for s, c in pairs])


def dice_at(yes: Tensor, no: Tensor, thresholds: Tensor) -> Tensor:
    """(T,) Dice of taking what scores above each of (T,) thresholds for the object."""
    hits = (yes[None] > thresholds[:, None]).sum(1)
    wrong = (no[None] > thresholds[:, None]).sum(1)
    return 2 * hits / (hits + wrong + len(yes)).clamp_min(1)


def otsu(values: Tensor) -> float:
    """Otsu's threshold: where the two sides are furthest apart; the middle where all values are alike."""
    flat = values.flatten().float()
    low, high = float(flat.min()), float(flat.max())
    if high - low < 1e-6:
        return (low + high) / 2
    counts = torch.histc(flat, 256, low, high)
    centres = low + (torch.arange(256).to(flat) + 0.5) * (high - low) / 256
    below, sums = counts.cumsum(0), (counts * centres).cumsum(0)
    above = below[-1] - below
    apart = (sums / below.clamp_min(1) - (sums[-1] - sums) / above.clamp_min(1)) ** 2 * below * above
    best = apart >= apart.max() * (1 - 1e-6)
    return float(centres[best].mean()) + (high - low) / 512
