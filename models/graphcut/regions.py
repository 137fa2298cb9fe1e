"""Candidate regions around seeds in a small frame, and a ranking of them by how much they look like an object.

A region is a connected set of pixels that resemble the seeds up to a threshold; raising the threshold gives a family
from tight to wide, and the ranking picks the members with contrast along their border, a compact shape and a stable
extent.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CROSS = np.ones((3, 3), np.uint8)
LEVELS = 12


@dataclass(frozen=True)
class FrameLook:
    """What a frame looks like: smoothed Lab colour and how fast it changes."""

    lab: NDArray[np.float32]  # (h, w, 3), 0..255 each
    edges: NDArray[np.float32]  # (h, w) gradient magnitude
    rim: NDArray[np.bool_]  # (h, w) where the picture goes on beyond the frame


def look_at(rgb: NDArray[np.uint8], rim: NDArray[np.bool_], sigma: float = 1.0) -> FrameLook:
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), sigma), np.float32)
    gx, gy = (cv2.Sobel(lab, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
    return FrameLook(lab, np.sqrt((gx**2 + gy**2).sum(2)), rim)


def families(look: FrameLook, seeds_rc: NDArray[np.int32]) -> list[NDArray[np.float32]]:
    """(h, w) maps of unlikeness to the seeds: by colour, by being darker than them, by being brighter."""
    colours = np.array([look.lab[r, c] for r, c in seeds_rc[:12]])
    by_colour = np.min([np.sqrt(((look.lab - colour) ** 2).sum(2)) for colour in colours], axis=0)
    light = look.lab[..., 0]
    return [by_colour, np.maximum(colours[:, 0].min() - light, 0), np.maximum(light - colours[:, 0].max(), 0)]


def holding(allowed: NDArray[np.bool_], seeds_rc: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(h, w) 0/1: the connected pieces of `allowed` that hold a seed."""
    _, pieces = cv2.connectedComponents(allowed.astype(np.uint8), connectivity=4)
    named = np.unique(pieces[seeds_rc[:, 0], seeds_rc[:, 1]])
    table = np.zeros(pieces.max() + 1, np.uint8)
    table[named[named > 0]] = 1
    return np.asarray(table[pieces])


def filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The region with its holes closed."""
    padded = rimmed(mask)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] != 2, np.uint8)


def rimmed(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask with a pixel of 0 around it: a tenth of the time of numpy's padding, thousands of times a click."""
    return np.asarray(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), np.uint8)


def opened(mask: NDArray[np.uint8], seeds_rc: NDArray[np.int32], radius: int) -> NDArray[np.uint8]:
    """The region without what hangs on it by a thread; as it was where a seed would fall out."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = holding(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc) > 0, seeds_rc)
    return core if core[seeds_rc[:, 0], seeds_rc[:, 1]].all() else mask


def grown(look: FrameLook, seeds_rc: NDArray[np.int32]) -> list[NDArray[np.uint8]]:
    """Distinct candidate regions (h, w) 0/1 around the seeds, hole-free, from tight to wide in each family.

    Left out are regions that a closer or a wider frame shows better: a few pixels, or cut off by the frame.
    """
    regions: dict[int, NDArray[np.uint8]] = {}
    for unlike in families(look, seeds_rc):
        top = float(unlike.max())
        for level in np.geomspace(1.5, max(top, 2), LEVELS, endpoint=False):
            region = filled(opened(holding(unlike <= level, seeds_rc), seeds_rc, 2))
            size = int(region.sum())
            if size < 0.01 * region.size or size in regions:
                continue
            if region[look.rim].sum() > 0.5 * np.sqrt(size) or size > 0.9 * region.size:
                break
            regions[size] = region
    return list(regions.values())


@dataclass(frozen=True)
class RankingScene:
    """What the ranking needs to know besides the region: the frame and what was pointed at in it."""

    look: FrameLook
    positive_rc: NDArray[np.int32]
    negative_rc: NDArray[np.int32]
    frame_share: float  # how much of what is on screen the frame covers


def features(scene: RankingScene, region: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(F,) what the ranking sees of a region, each about -1..1."""
    look = scene.look
    area = int(region.sum())
    inner = cv2.erode(region, CROSS, borderValue=0)
    outer = cv2.dilate(region, CROSS)
    border = (outer - inner).astype(bool)
    length = max(int((region - inner).sum()), 1)
    ring = (cv2.dilate(outer, CROSS, iterations=2) - outer).astype(bool)
    if not ring.any():
        ring = ~region.astype(bool) if area < region.size else region.astype(bool)
    edge = look.edges[border]
    inside = region.astype(bool)
    body = inner.astype(bool) if inner.any() else inside
    mean_in, spread_in = cv2.meanStdDev(look.lab, mask=region)
    mean_out, spread_out = cv2.meanStdDev(look.lab, mask=ring.astype(np.uint8))
    apart = float(np.sqrt(((mean_in - mean_out) ** 2).sum()))
    noise = float(np.sqrt((spread_in**2 + spread_out**2).sum()))
    depth = cv2.distanceTransform(rimmed(region), cv2.DIST_L2, 3)[1:-1, 1:-1]
    r, c = scene.positive_rc.T
    r0, c0 = scene.negative_rc.T
    outside = cv2.distanceTransform(1 - region, cv2.DIST_L2, 3)
    thick = max(float(depth.max()), 1.0)
    share = area / region.size
    return np.array([
        np.log(share + 1e-4),
        np.log(share + 1e-4) ** 2 / 10,
        np.minimum(4 * np.pi * area / length**2, 1.5),
        float(look.rim[inside].sum()) / length,
        edge.mean() / 16 if len(edge) else 0.0,
        np.log1p(low_fifth(edge)) if len(edge) else 0.0,
        edge.mean() / (look.edges[body].mean() + edge.mean() + 0.5) if len(edge) else 0.0,
        apart / (apart + noise + 2),
        np.log1p(apart) / 4,
        np.log1p(noise) / 4,
        float(depth[r, c].mean()) / thick,
        float(region[r, c].mean()),
        float(region[r0, c0].mean()) if len(r0) else 0.0,
        min(float(outside[r, c].max()) / thick, 2.0) if area else 2.0,
        float(depth[r0, c0].max()) / thick if len(r0) else 0.0,
        np.log(depth.max() + 1) / 4,
        np.log(share * scene.frame_share + 1e-6) / 3,
        (np.log(share * scene.frame_share + 1e-6) / 3) ** 2,
    ])  # fmt: skip


def low_fifth(values: NDArray[np.float32]) -> float:
    """The 20th percentile as numpy's, in a fraction of its time."""
    at = (len(values) - 1) * 0.2
    below = int(at)
    above = min(below + 1, len(values) - 1)
    ordered = np.partition(values, (below, above))
    return float(ordered[below] + (at - below) * (ordered[above] - ordered[below]))


# Fitted by least squares to the IoU of 10,000 regions with the training splits of openly licensed sets (nuclei,
# photographs, surfaces, micrographs, MRI, CT); the first number is the constant, the rest follow `features`.
WEIGHTS = np.array([
    -0.8409, -0.048, -0.207, 0.2506, -0.847, -0.0092, 0.0337, 0.2953, 0.4854, -0.2854, 0.1533, 0.2338, 0.0, 0.0,
    0.0, -0.2635, 0.5297, -0.4963, -0.1245,
])  # fmt: skip


def rank(seen: NDArray[np.float64]) -> float:
    """How good a region is believed to be, about its IoU with the object meant."""
    return float(WEIGHTS[0] + seen @ WEIGHTS[1:])


def pieces_at(look: FrameLook, point: NDArray[np.int32], free: NDArray[np.bool_]) -> list[NDArray[np.uint8]]:
    """Distinct regions around one point within `free` (h, w), from tight to wide, and discs of three sizes."""
    seed = point[None]
    pieces: dict[int, NDArray[np.uint8]] = {}
    for unlike in families(look, seed):
        inside = np.where(free, unlike, np.inf)
        for level in np.geomspace(2, max(float(unlike[free].max()), 3), LEVELS // 2 + 1):
            piece = opened(holding(inside <= level, seed), seed, 1)
            pieces.setdefault(int(piece.sum()), piece)
    reach = cv2.distanceTransform(rimmed(free.astype(np.uint8)), cv2.DIST_L2, 3)[1:-1, 1:-1]
    for radius in np.array([1.0, 1.5, 2.0]) * max(float(reach[point[0], point[1]]), 1.5):
        disc = np.zeros(free.shape, np.uint8)
        cv2.circle(disc, (int(point[1]), int(point[0])), round(radius), 1, -1)
        piece = holding((disc > 0) & free, seed)
        pieces.setdefault(int(piece.sum()), piece)
    return list(pieces.values())


def split_by_light(look: FrameLook, box: NDArray[np.bool_]) -> list[NDArray[np.uint8]]:
    """The largest piece above and below Otsu's threshold of the box, without holes."""
    light = look.lab[..., 0][box].astype(np.uint8)
    level, _ = cv2.threshold(light.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = look.lab[..., 0] > level
    return [filled(largest(side & box)) for side in (bright, ~bright) if (side & box).any()]


def largest(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(h, w) 0/1 the biggest connected piece."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray(pieces == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]), np.uint8)


def grown_in_box(
    look: FrameLook, seeds_rc: NDArray[np.int32], box: NDArray[np.bool_]
) -> list[NDArray[np.uint8]]:
    """Candidate regions cut at the box (h, w): around each seed, by Otsu, and the ellipse that fits the box."""
    regions = split_by_light(look, box)
    for seed in seeds_rc:
        for unlike in families(look, seed[None]):
            inside = np.where(box, unlike, np.inf)
            for level in np.geomspace(2, max(float(unlike[box].max()), 3), LEVELS - 2, endpoint=False):
                regions.append(filled(opened(holding(inside <= level, seed[None]), seed[None], 1)))
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    ellipse = np.zeros(box.shape, np.uint8)
    centre = (float(columns[0] + columns[-1]) / 2, float(rows[0] + rows[-1]) / 2)
    cv2.ellipse(ellipse, (centre, (float(len(columns)), float(len(rows))), 0.0), 1, -1)
    distinct = {int(region.sum()): region for region in [*regions, ellipse] if region.any()}
    return [region for size, region in distinct.items() if size > 0.04 * box.sum()]


def box_features(region: NDArray[np.uint8], box: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(B,) how well a region fills the box that was drawn around the object."""
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    part = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    sides = np.array([part[0].mean(), part[-1].mean(), part[:, 0].mean(), part[:, -1].mean()])
    h, w = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    spans = (h[-1] - h[0] + 1) / part.shape[0], (w[-1] - w[0] + 1) / part.shape[1]
    share = part.mean()
    corners = part[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
    return np.array(
        [min(spans), max(spans), (sides > 0).mean(), sides.mean(), sides.max(), share, share**2, corners]
    )


BOX_WEIGHTS = np.array([
    -0.9032, -0.035, -0.2169, 0.1454, 0.0, -0.104, 0.0298, 0.5978, 0.3577, -0.1897, 0.0372, 0.006, 0.4, -0.1, 0.0, -0.5,
    -0.1883, -0.2435, 0.0822, 0.3416, 0.2773, 0.0337, -0.4942, -0.0184, 1.0237, -0.0649, 0.1579,
])  # fmt: skip


def rank_in_box(seen: NDArray[np.float64], fit: NDArray[np.float64]) -> float:
    """As `rank`, for a region inside a box."""
    return float(BOX_WEIGHTS[0] + np.concatenate([seen, fit]) @ BOX_WEIGHTS[1:])
