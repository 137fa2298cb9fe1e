"""Held-out Dice over labelled slices, as a drawing in the page itself."""

from collections.abc import Sequence
from itertools import groupby

from storage.rounds import RoundRow

WIDTH, HEIGHT, EDGE = 560, 220, 36  # in pixels
RIGHT, FLOOR = WIDTH - EDGE, HEIGHT - EDGE

JudgedPoint = tuple[RoundRow, float]  # a round and its Dice


def curve_of(rounds: Sequence[RoundRow]) -> str | None:
    """An inline SVG; each point is the model that people saw after a round. Rounds that other images judged are not
    joined. None where no round was judged."""
    points = [(row, row.dice) for row in rounds if row.dice is not None]
    if not points:
        return None
    most = max(row.labelled_slices for row, _ in points) or 1
    lines = "".join(_line(list(group), most) for _, group in groupby(points, lambda point: point[0].core))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="12" role="img" '
        f'aria-label="held-out Dice over labelled slices">{_marks()}'
        f'<path d="M{EDGE} {EDGE}V{FLOOR}H{RIGHT}" fill="none" stroke="#8a94a3"/>{lines}'
        f'<text x="{RIGHT}" y="{FLOOR + 18}" text-anchor="end">{most} labelled slices</text></svg>'
    )


def _line(points: Sequence[JudgedPoint], most: int) -> str:
    at = [
        (EDGE + row.labelled_slices / most * (RIGHT - EDGE), FLOOR - dice * (FLOOR - EDGE))
        for row, dice in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{row.labelled_slices} slices: {dice:.3f}</title></circle>'
        for (x, y), (row, dice) in zip(at, points)
    )
    return f'<polyline points="{path}" fill="none" stroke="#2563eb" stroke-width="2"/><g fill="#2563eb">{dots}</g>'


def _marks() -> str:
    return "".join(
        f'<text x="{EDGE - 6}" y="{FLOOR - dice * (FLOOR - EDGE) + 4:.0f}" text-anchor="end">{dice:g}</text>'
        for dice in (0, 0.5, 1)
    )
