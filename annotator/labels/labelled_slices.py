"""Which slices of a volume people worked on, as propagators and the guided start read them."""

from learners.propagate.contract import LabelledSlice
from storage.rows import LabelRow


def labelled_slices(labels: list[LabelRow]) -> tuple[LabelledSlice, ...]:
    """Which slices people worked on, whether they said all about them, and the classes they drew there."""
    classes: dict[tuple[int, int], set[int]] = {}
    complete = {(row.axis, row.index) for row in labels if row.kind == "complete"}
    for row in labels:
        drawn = () if mends(row) else (c for c in row.classes if c > 0)
        classes.setdefault((row.axis, row.index), set()).update(drawn)
    return tuple(
        LabelledSlice(axis, index, (axis, index) in complete, tuple(sorted(drawn)))
        for (axis, index), drawn in sorted(classes.items())
    )


def mends(row: LabelRow) -> bool:
    """Whether a label mended a part of a proposal: it does not say where the rest of its class is on the slice."""
    return "mends" in row.prompts
