"""Files with the pixels of another image: whether they are that image, or images of their own.

Proposed is: what comes later than an image with its pixels is that image, so that masks and tags of both meet. Blank
pictures, and files that come in one import, are images of their own: data sets hold empty and frozen frames, and each
file of a set wants its mask.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from annotator.exchange.matching import bare_name, path_parts
from storage.arrays import TornFile, open_npy
from storage.rows import ImageRow
from storage.scan import Scan, pixels_digest

CopyChoice = Literal["", "same", "both"]  # "": as proposed
Size = tuple[tuple[int, int, int], int, str, tuple[float, float]]

HERE, COMES, BLANK = "which is in the project", "which comes in too", "which is in the project and blank too"
TAKEN = "it is taken as that image, and --copies both would keep both"
APART = "it stays an image of its own, and --copies same would take it as that one"


@dataclass(frozen=True)
class PixelFacts:
    """What of a scan says whether it has the pixels of another one."""

    digest: str
    size: Size
    source: str

    @classmethod
    def of(cls, scan: Scan) -> "PixelFacts":
        size = (scan.shape, scan.channels, str(scan.pixels.dtype), scan.value_range)
        return cls(scan.pixels_digest, size, scan.source)

    @property
    def blank(self) -> bool:
        low, high = self.size[3]
        return low == high


@dataclass
class Original:
    """An image as copies of it find it."""

    name: str  # for people
    source: str
    slot: int | Scan  # its id; itself until it is written


@dataclass(frozen=True)
class Likeness:
    """An image with the same pixels, and what is proposed."""

    original: Original
    where: str  # HERE, COMES or BLANK
    agreed: bool = False  # an earlier import took this very file as that image

    @property
    def fact(self) -> str:
        return f"it has the same pixels as {self.original.name}, {self.where}"

    def is_same(self, choice: CopyChoice) -> bool:
        """Whether it is taken as that image."""
        return choice == "same" or (choice == "" and (self.agreed or self.where == HERE))

    def told(self, choice: CopyChoice) -> str:
        return f"{self.fact}; {TAKEN if self.is_same(choice) else APART}"


class KnownPixels:
    """Images by their pixels. Those of older versions are read when one of their size is first asked for."""

    def __init__(
        self, images: Iterable[ImageRow], copies: Mapping[int, Collection[str]], coming: Collection[str] = ()
    ) -> None:
        """`copies`: files that were taken as these images before; `coming`: where files of this import lie."""
        self.noted: dict[int, str] = {}  # of images of older versions, found here
        self._copies, self._coming = copies, coming
        self._originals: dict[str, list[Original]] = defaultdict(list)
        self._unread: dict[Size, list[ImageRow]] = defaultdict(list)
        for image in images:
            if image.pixels:
                self._originals[image.pixels].append(_original(image))
            else:
                self._unread[_size(image)].append(image)

    def add(self, facts: PixelFacts, scan: Scan) -> Original:
        """One that is new; tell what it is called by and its id in the answer, once it has one."""
        original = Original(scan.source or scan.name, scan.source, scan)
        self._originals[facts.digest].append(original)
        return original

    def like(self, facts: PixelFacts) -> Likeness | None:
        """The image that has these pixels; of several the one that was agreed on, or has the name, or came first."""
        for image in self._unread.pop(facts.size, []):
            self._read(image)
        if not (found := self._originals.get(facts.digest)):
            return None
        best = max(found, key=lambda one: (self._agreed(one, facts), _same_name(one, facts)))
        together = any(isinstance(one.slot, Scan) or one.source in self._coming for one in found)
        where = COMES if together else BLANK if facts.blank else HERE
        return Likeness(best, where, self._agreed(best, facts))

    def _read(self, image: ImageRow) -> None:
        try:
            self.noted[image.id] = digest = pixels_digest(open_npy(image.path))
        except TornFile:
            return
        self._originals[digest].append(_original(image))

    def _agreed(self, original: Original, facts: PixelFacts) -> bool:
        known = self._copies.get(original.slot, ()) if isinstance(original.slot, int) else ()
        return facts.source != "" and facts.source in known


def _original(image: ImageRow) -> Original:
    return Original(image.source or image.name, image.source, image.id)


def _size(image: ImageRow) -> Size:
    return image.shape, image.channels, image.dtype, image.value_range


def _same_name(original: Original, facts: PixelFacts) -> bool:
    first, second = path_parts(original.name), path_parts(facts.source)
    return bool(first and second) and bare_name(first[-1]) == bare_name(second[-1])
