"""The training-free prompt model: candidate regions around the clicks, voted into a prior for a random walker.

Encoding does nothing, so an answer never waits for it. All work is done in small frames around the prompts, which makes
the cost independent of the size of the slice; the edge of the mask is found at up to `FINE` pixels across the object.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.clicks import Clicks, clicks_of
from models.graphcut.candidates import CandidateRegion, agreement, bounds, distinct, moved, overlap
from models.graphcut.frame import OBJECT, UNKNOWN, WorkFrame, drawn, frame_around
from models.graphcut.random_walker import HELD, PixelPrior, walk
from models.graphcut.regions import (
    RankingScene,
    box_features,
    features,
    filled,
    grown,
    grown_in_box,
    look_at,
    pieces_at,
    rank,
    rank_in_box,
)
from models.prompt import Embedding, FloatBox, MaskPrediction, Prompts

COARSE = 64  # working pixels across a frame in which regions are sought
FINE = 128  # working pixels across the frame in which the chosen one is refined
GROWTH = 1.8  # from one frame to the next wider one
SMALLEST = 9.0  # slice pixels from the click to the side of the closest frame
MAX_GROWN_SEEDS = 12  # positive clicks that regions are grown from; all of them are kept in the mask
VOTERS = 5  # regions that together make the prior
CANDIDATES = 3
PIXELS_FOR_CHOICE = 1 << 26
BASES = 3  # regions that are tried as the start of a correction
MAX_SEEDS = 64  # seeds that speak for their surroundings; every one is kept exactly
LIKE = 20.0  # Lab distance within which colours count as alike
CONTINUITY = 0.1  # by how much better another region must look to replace the one that is being corrected
CORRECTIONS = 8  # clicks of each kind that correct one


class GraphCut:
    """Answers clicks, boxes, scribbles and a mask to refine; deterministic, no weights, no state."""

    model_id = "graphcut-1"

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Keeps the (H, W, 3) picture; costs nothing."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(
                f"the picture must be (H, W, 3) uint8 with pixels in it, got {image.dtype} {image.shape}"
            )
        return Embedding(self.model_id, image.shape[:2], {"rgb": image})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Masks best first; raises ValueError where nothing says what the object is."""
        if embedding.model_id != self.model_id:
            raise ValueError(f"this embedding was made by {embedding.model_id}, not by {self.model_id}")
        image, clicks = embedding.arrays["rgb"], clicks_of(prompts, embedding.shape)
        if prompts.mask is not None and prompts.mask.shape != embedding.shape:
            raise ValueError(f"the mask to refine is {prompts.mask.shape}, the slice {embedding.shape}")
        mask = prompts.mask if prompts.mask is not None and prompts.mask.any() else None
        if prompts.box is None and mask is None and not len(clicks.positive):
            raise ValueError("nothing points at an object yet: click on it, or draw a box around it")
        if prompts.box is not None:
            return answer_box(image, clicks, prompts.box)
        if mask is not None:
            return answer_mask(image, clicks, mask)
        return answer_clicks(image, clicks, prompts.view)


def answer_clicks(image: NDArray[np.uint8], clicks: Clicks, view: FloatBox | None) -> MaskPrediction:
    """Regions around the clicks at every scale; several objects where one click leaves open which."""
    found = regions_around(image, clicks, view)
    if not found:
        found = [small_discs(image, clicks)]
    if len(clicks.positive) + len(clicks.negative) > 1:
        began = regions_around(image, clicks.first, view)[:1] if clicks.clicked else []
        found = in_agreement(image, clicks, found, began) + found
    heads = distinct(found, how_many(image, clicks))
    answers = [refined(image, clicks, head, found) for head in heads]
    return best_first(answers, [head.score for head in heads])


def how_many(image: NDArray[np.uint8], clicks: Clicks) -> int:
    """One candidate where further clicks have settled what is meant, or where each costs as much memory as a slice."""
    open_question = len(clicks.positive) + len(clicks.negative) < 3
    return CANDIDATES if open_question and image.shape[0] * image.shape[1] <= PIXELS_FOR_CHOICE else 1


def frames(shape: tuple[int, int], points: NDArray[np.float64], view: FloatBox | None) -> list[WorkFrame]:
    """Square frames around the points, each wider than the last, until one covers the picture or the view."""
    (r0, c0), (r1, c1) = points.min(0), points.max(0)
    row, column = (r0 + r1) / 2, (c0 + c1) / 2
    half = max(SMALLEST, 0.75 * max(r1 - r0, c1 - c0))
    widest = max(shape) if view is None else min(max(shape), max(view[2] - view[0], view[3] - view[1]))
    found: list[WorkFrame] = []
    while not found or (half / GROWTH < widest and len(found) < 16):
        box = (row - half, column - half, row + half + 1, column + half + 1)
        found.append(frame_around(box, shape, COARSE))
        half *= GROWTH
    return found


def regions_in(image: NDArray[np.uint8], frame: WorkFrame, clicks: Clicks) -> list[CandidateRegion]:
    """The candidate regions that a frame shows, ranked."""
    shape = image.shape[:2]
    positive = frame.place(clicks.positive)
    negative = frame.place(clicks.negative[frame.inside(clicks.negative)])
    look = look_at(frame.look(image), frame.borders(shape))
    share = (frame.r1 - frame.r0) * (frame.c1 - frame.c0) / (shape[0] * shape[1])
    scene = RankingScene(look, positive, negative, share)
    seeds = positive[np.linspace(0, len(positive) - 1, min(len(positive), MAX_GROWN_SEEDS)).astype(int)]
    return [CandidateRegion(frame, mask, rank(features(scene, mask))) for mask in grown(look, seeds)]


def regions_around(image: NDArray[np.uint8], clicks: Clicks, view: FloatBox | None) -> list[CandidateRegion]:
    """The candidates in every frame around the positive clicks, best first."""
    around = frames(image.shape[:2], clicks.positive, view)
    return sorted((r for frame in around for r in regions_in(image, frame, clicks)), key=lambda r: -r.score)


def in_agreement(
    image: NDArray[np.uint8], clicks: Clicks, found: list[CandidateRegion], began: list[CandidateRegion]
) -> list[CandidateRegion]:
    """The best regions with what the clicks say they lack or have too much of, ranked again.

    What the first click alone gave is what the later clicks correct, so it is preferred.
    """
    bases: list[CandidateRegion] = []
    for region in found[:40]:
        if all(overlap(region, other) < 0.8 for other in bases):
            bases.append(region)
        if len(bases) == BASES:
            break
    made = [corrected(image, clicks, region) for region in bases]
    kept = [corrected(image, clicks, region) for region in began]
    made += [replace(region, score=region.score + CONTINUITY) for region in kept]
    return sorted(made, key=lambda region: -region.score)


def corrected(image: NDArray[np.uint8], clicks: Clicks, region: CandidateRegion) -> CandidateRegion:
    """The region, click by click enlarged or cut by the piece around the click that leaves the best region."""
    shape = image.shape[:2]
    frame = close_frame(shape, clicks, bounds(region), COARSE)
    look = look_at(frame.look(image), frame.borders(shape))
    positive = spread(frame.place(clicks.positive))
    negative = spread(frame.place(clicks.negative[frame.inside(clicks.negative)]))
    share = (frame.r1 - frame.r0) * (frame.c1 - frame.c0) / (shape[0] * shape[1])
    scene = RankingScene(look, positive, negative, share)
    mask = (moved(region, frame) > 0.5).astype(np.uint8)
    for points, value in ((positive, 1), (negative, 0)):
        for point in points:
            if mask[point[0], point[1]] != value:
                mask = best_correction(scene, mask, point, value)
    if not mask.any():
        mask[positive[:, 0], positive[:, 1]] = 1
    return CandidateRegion(frame, mask, rank(features(scene, mask)))


def spread(points: NDArray[np.int32]) -> NDArray[np.int32]:
    """At most `CORRECTIONS` of the points, from first to last."""
    return points[np.linspace(0, len(points) - 1, min(len(points), CORRECTIONS), dtype=int)]


def best_correction(
    scene: RankingScene, mask: NDArray[np.uint8], point: NDArray[np.int32], value: int
) -> NDArray[np.uint8]:
    """The mask with a piece around the point added (value 1) or taken away (value 0)."""
    free = (mask == 0) if value else (mask == 1)
    opposite = scene.negative_rc if value else scene.positive_rc
    free[opposite[:, 0], opposite[:, 1]] = False
    free[point[0], point[1]] = True
    best, best_score = mask, -np.inf
    for piece in pieces_at(scene.look, point, free):
        changed = filled(mask | piece) if value else mask & (1 - piece)
        score = rank(features(scene, changed)) if changed.any() else -np.inf
        if score > best_score:
            best, best_score = changed, score
    return best


def small_discs(image: NDArray[np.uint8], clicks: Clicks) -> CandidateRegion:
    """Where nothing stands out: a small disc around each click."""
    (r0, c0), (r1, c1) = clicks.positive.min(0), clicks.positive.max(0)
    frame = frame_around((r0 - 8, c0 - 8, r1 + 9, c1 + 9), image.shape[:2], COARSE)
    mask = np.zeros((frame.h, frame.w), np.uint8)
    for row, column in frame.place(clicks.positive):
        cv2.circle(mask, (int(column), int(row)), max(1, round(4 * frame.zoom[0])), 1, -1)
    return CandidateRegion(frame, mask, 0.0)


def refined(
    image: NDArray[np.uint8],
    clicks: Clicks,
    head: CandidateRegion,
    found: list[CandidateRegion],
    limit: FloatBox | None = None,
) -> NDArray[np.bool_]:
    """(H, W) the head and what agrees with it, brought to the picture's edges around it."""
    frame = close_frame(image.shape[:2], clicks, bounds(head))
    votes = [moved(r, frame) for r in found[: 8 * VOTERS]]
    main = moved(head, frame)
    scored = [
        (np.exp(8 * (r.score - head.score)) * agreement(main, vote), vote)
        for r, vote in zip(found[: 8 * VOTERS], votes, strict=True)
    ]
    scored = sorted(scored, key=lambda pair: -pair[0])[:VOTERS]
    total = sum(weight for weight, _ in scored)
    prior = sum(weight * vote for weight, vote in scored) / max(total, 1e-6) if total > 0 else main
    return refined_mask(image, clicks, frame, np.asarray(prior, np.float32), limit)


def close_frame(shape: tuple[int, int], clicks: Clicks, box: FloatBox, most: int = FINE) -> WorkFrame:
    """A frame around a box and the positive clicks, with room for the edge to move."""
    r0, c0, r1, c1 = box
    if len(clicks.positive):
        (pr0, pc0), (pr1, pc1) = clicks.positive.min(0), clicks.positive.max(0)
        r0, c0, r1, c1 = min(r0, pr0), min(c0, pc0), max(r1, pr1 + 1), max(c1, pc1 + 1)
    margin = 0.2 * max(r1 - r0, c1 - c0) + 3
    size = int(np.clip(2 * (max(r1 - r0, c1 - c0) + 2 * margin), 32, most))
    return frame_around((r0 - margin, c0 - margin, r1 + margin, c1 + margin), shape, size)


def refined_mask(
    image: NDArray[np.uint8],
    clicks: Clicks,
    frame: WorkFrame,
    prior: NDArray[np.float32],
    limit: FloatBox | None = None,
) -> NDArray[np.bool_]:
    """(H, W) the prior walked to the picture's edges, with every click on its side."""
    look = look_at(frame.look(image), frame.borders(image.shape[:2]), sigma=0.7)
    seeds = drawn(frame, clicks)
    prior, strength = add_seed_evidence(look.lab, prior, seeds)
    if limit is not None:
        outside = ~within(frame, limit)
        prior[outside], strength[outside] = 0, HELD
    strength[seeds != UNKNOWN] = HELD
    prior[seeds != UNKNOWN] = seeds[seeds != UNKNOWN] == OBJECT
    soft = walk(look.lab, PixelPrior(prior, strength))
    mask = np.zeros(image.shape[:2], bool)
    size = frame.c1 - frame.c0, frame.r1 - frame.r0
    mask[frame.r0 : frame.r1, frame.c0 : frame.c1] = (
        cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR) > 0.5
    )
    return with_clicks(tidy(mask, frame, clicks), clicks)


def add_seed_evidence(
    lab: NDArray[np.float32], prior: NDArray[np.float32], seeds: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The prior and its strength after each seed has spoken for what lies near it and looks like it."""
    said = np.argwhere(seeds != UNKNOWN)
    said = said[np.linspace(0, len(said) - 1, min(len(said), MAX_SEEDS)).astype(int)]
    rows, columns = np.indices(prior.shape, np.float32)
    weight, votes = np.full(prior.shape, 0.5, np.float32), 0.5 * prior
    for (row, column), reach in zip(said, seed_radii(prior, seeds, said), strict=True):
        colour = ((lab - lab[row, column]) ** 2).sum(2) / (2 * LIKE**2)
        near = ((rows - row) ** 2 + (columns - column) ** 2) / (2 * reach**2)
        say = np.exp(-colour - near)
        weight, votes = weight + say, votes + say * (seeds[row, column] == OBJECT)
    return (votes / weight).astype(np.float32), np.full(prior.shape, 0.02, np.float32)


def seed_radii(prior: NDArray[np.float32], seeds: NDArray[np.uint8], said: NDArray[np.intp]) -> list[float]:
    """How far each seed speaks, in working pixels: half-way to the next contradiction, and not far across an error.

    A seed that contradicts the prior lies in the middle of an error; the error is about as wide as its depth there.
    """
    inside = cv2.distanceTransform(np.pad((prior > 0.5).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    outside = cv2.distanceTransform((prior <= 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    found: list[float] = []
    for row, column in said:
        reach = max(prior.shape) / 6
        others = np.argwhere((seeds != UNKNOWN) & (seeds != seeds[row, column]))
        if len(others):
            reach = min(reach, 0.5 * float(np.hypot(*(others - (row, column)).T).min()))
        depth = float((outside if seeds[row, column] == OBJECT else inside)[row, column])
        if depth > 0:
            reach = min(reach, 2 * depth)
        found.append(max(reach, 1.0))
    return found


def tidy(mask: NDArray[np.bool_], frame: WorkFrame, clicks: Clicks) -> NDArray[np.bool_]:
    """Only pieces that hold a click (all where none does), without pinholes that nobody asked for."""
    part = mask[frame.r0 : frame.r1, frame.c0 : frame.c1]
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(part.astype(np.uint8), connectivity=4)
    here = clicks.positive[frame.inside(clicks.positive)].astype(int) - (frame.r0, frame.c0)
    named = np.unique(pieces[here[:, 0], here[:, 1]]) if len(here) else np.arange(count)
    keep = np.zeros(count, bool)
    keep[named] = True
    keep[0] = False
    if keep.any():
        part[:] = keep[pieces]
    area = int(part.sum())
    _, gaps, stats, _ = cv2.connectedComponentsWithStats((~part).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.05 * area
    small[0] = False
    part |= small[gaps]
    return mask


def with_clicks(mask: NDArray[np.bool_], clicks: Clicks) -> NDArray[np.bool_]:
    """Every clicked pixel on its side, exactly."""
    for points, value in ((clicks.positive, True), (clicks.negative, False)):
        rows, columns = points.astype(int).T
        mask[rows, columns] = value
    return mask


def best_first(masks: list[NDArray[np.bool_]], scores: list[float]) -> MaskPrediction:
    order = np.argsort(-np.array(scores), kind="stable")
    ranked = masks[0][None] if len(masks) == 1 else np.stack([masks[i] for i in order])
    return MaskPrediction(ranked, np.clip(np.array(scores, np.float32)[order], 0.0, 1.0))


def answer_box(image: NDArray[np.uint8], clicks: Clicks, box: FloatBox) -> MaskPrediction:
    """The region that fills the box best, nothing outside the box."""
    found = box_regions(image, clicks, box)
    heads = distinct(found, how_many(image, clicks))
    answers = [refined(image, clicks, head, found, limit=box) for head in heads]
    return best_first(answers, [head.score for head in heads])


def box_regions(image: NDArray[np.uint8], clicks: Clicks, box: FloatBox) -> list[CandidateRegion]:
    """Candidates inside the box, best first."""
    shape = image.shape[:2]
    frame = box_frame(shape, box, COARSE)
    limit = within(frame, box)
    positive = frame.place(clicks.positive[frame.inside(clicks.positive)])
    negative = frame.place(clicks.negative[frame.inside(clicks.negative)])
    seeds = np.concatenate([interior(limit), positive[:MAX_GROWN_SEEDS]])
    look = look_at(frame.look(image), frame.borders(shape))
    scene = RankingScene(look, positive if len(positive) else seeds[:1], negative, 1.0)
    regions = [
        CandidateRegion(frame, mask, rank_in_box(features(scene, mask), box_features(mask, limit)))
        for mask in grown_in_box(look, seeds, limit)
    ]
    return sorted(regions, key=lambda region: -region.score)


def box_frame(shape: tuple[int, int], box: FloatBox, size: int) -> WorkFrame:
    """The box and a margin of an eighth around it."""
    r0, r1 = sorted((box[0], box[2]))
    c0, c1 = sorted((box[1], box[3]))
    margin = max(r1 - r0, c1 - c0) / 8 + 1
    return frame_around((r0 - margin, c0 - margin, r1 + margin, c1 + margin), shape, size)


def within(frame: WorkFrame, box: FloatBox) -> NDArray[np.bool_]:
    """(h, w) the working pixels inside the box, at least one."""
    rows = np.clip((np.sort([box[0], box[2]]) - frame.r0) * frame.zoom[0], 0, frame.h)
    columns = np.clip((np.sort([box[1], box[3]]) - frame.c0) * frame.zoom[1], 0, frame.w)
    (r0, r1), (c0, c1) = np.round(rows).astype(int), np.round(columns).astype(int)
    r0, c0 = min(r0, frame.h - 1), min(c0, frame.w - 1)
    inside = np.zeros((frame.h, frame.w), bool)
    inside[r0 : max(r1, r0 + 1), c0 : max(c1, c0 + 1)] = True
    return inside


def interior(limit: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(5, 2) the middle of the box and four points around it."""
    rows, columns = np.flatnonzero(limit.any(1)), np.flatnonzero(limit.any(0))
    at = np.array([(0.5, 0.5), (0.3, 0.5), (0.7, 0.5), (0.5, 0.3), (0.5, 0.7)])
    return np.stack(
        [rows[(at[:, 0] * len(rows)).astype(int)], columns[(at[:, 1] * len(columns)).astype(int)]], 1
    )


def answer_mask(image: NDArray[np.uint8], clicks: Clicks, mask: NDArray[np.bool_]) -> MaskPrediction:
    """The given mask, moved to the picture's edges and corrected by the clicks."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    frame = close_frame(mask.shape, clicks, (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    prior = frame.look(mask.astype(np.float32))
    return MaskPrediction(refined_mask(image, clicks, frame, prior)[None], np.full(1, 0.8, np.float32))


def load_graphcut(weights: Path | None) -> GraphCut:
    """It needs no file."""
    return GraphCut()
