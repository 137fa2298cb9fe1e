"""Names as BIDS makes them: entities, a suffix, and which images of one subject are the channels of one."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from annotator.exchange.matching import bare_name

NAME = re.compile(r"sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9+]+)*_[A-Za-z0-9]+(?:\+[A-Za-z0-9]+)*")
JOINT = "+"  # sub-01_T1w+FLAIR: an image of several sequences; BIDS itself has no such name
CONTRAST = "ce"  # the one entity in which the sequences of an image may differ
# what BIDS calls the images of anat/ that a scanner makes of one head or body in one visit
SEQUENCES = (
    *("T1w", "T2w", "FLAIR", "PDw", "T2starw", "T1rho", "T1map", "T2map", "T2star"),
    *("PD", "PDT2", "inplaneT1", "inplaneT2", "UNIT1", "angio"),
)


@dataclass(frozen=True)
class BidsName:
    """sub-01_space-T1w_desc-manual_dseg: entities and suffix."""

    entities: Mapping[str, str]
    suffix: str

    @property
    def parts(self) -> list[str]:
        """The suffixes of an image of several sequences; else its own alone."""
        return self.suffix.split(JOINT)

    @property
    def part(self) -> str:
        """What the name of an image of several sequences calls it: T1w, or cegadoliniumT1w."""
        agent = self.entities.get(CONTRAST)
        return f"{CONTRAST}{agent}{self.suffix}" if agent else self.suffix

    @property
    def channel(self) -> str:
        """T1w, or T1w ce-gadolinium."""
        agent = self.entities.get(CONTRAST)
        return f"{self.suffix} {CONTRAST}-{agent}" if agent else self.suffix

    @property
    def visit(self) -> dict[str, str]:
        """What all sequences of one image have in common."""
        return {key: value for key, value in self.entities.items() if key != CONTRAST}

    def has_part(self, other: "BidsName") -> bool:
        """Whether the other is one of the sequences that this is made of."""
        return len(self.parts) > 1 and other.part in self.parts and self.visit == other.visit


@lru_cache(maxsize=1 << 16)  # each label file of a data set is compared with all its images
def bids_name(name: str) -> BidsName | None:
    """Of a file's name without its ending; None where BIDS would not call a file so."""
    if not NAME.fullmatch(name):
        return None
    *pairs, suffix = name.split("_")
    return BidsName(dict(pair.split("-", 1) for pair in pairs), suffix)


def sequences_together(paths: Iterable[Path]) -> Iterator[tuple[Path, dict[Path, BidsName]]]:
    """Images of one visit that differ in sequence or contrast agent alone, whatever grids they are on: the file that
    they would be together, and what each of them is."""
    visits: dict[tuple[Path, str, str], dict[str, Path]] = defaultdict(dict)
    names: dict[Path, BidsName] = {}
    for path in paths:
        bare = bare_name(path.name)
        name = bids_name(bare)
        if name is not None and name.suffix in SEQUENCES:
            names[path] = name
            visit = "_".join(f"{key}-{value}" for key, value in name.visit.items())
            visits[path.parent, visit, path.name[len(bare) :]].setdefault(name.part, path)
    for (folder, visit, ending), parts in visits.items():
        if len(parts) > 1:
            files = sorted(parts.values(), key=lambda path: (SEQUENCES.index(names[path].suffix), path))
            joint = JOINT.join(names[path].part for path in files)
            yield folder / f"{visit}_{joint}{ending}", {path: names[path] for path in files}
