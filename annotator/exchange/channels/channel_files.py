"""Files that are the channels of one image: nnU-Net's cases, BIDS' sequences of one visit, and what a `channels.csv`
says."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from annotator.exchange.channels.bids_names import sequences_together
from annotator.exchange.matching import CHANNEL, bare_name
from annotator.exchange.tables import Column, TableFault, TableRow, read_table
from storage import formats
from storage.channels.named import names_made_good
from storage.formats import FileRefused, Look
from storage.formats.channels.channelled import told
from storage.formats.channels.described import described_channels
from storage.formats.channels.together import OtherGrid, joined, same_grid
from storage.scan import Scan

Seen = TypeVar("Seen", Scan, Look)

TABLE = "channels.csv"
NNUNET = (
    "imagestr",
    "imagests",
    "imagesval",
)  # folders in which `_0000` is a channel; elsewhere it counts frames
IMAGE = Column("image", ("case", "subject", "id"))
CHANNEL_NAME = Column("channel", ("name", "stain", "sequence"))
FILE = Column("file", ("path", "filename"))
STACKED = ("nifti", "itk")  # kinds whose channels are sequences rather than stains


@dataclass(frozen=True)
class ChannelFiles:
    """Files of one image, with the name of the channel that each of them is."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    origin: Path  # where the image would lie if it were one file; there is none

    def read(self, kind: str) -> Scan:
        """Raises FileRefused."""
        scans = [_told(name, formats.read, path) for name, path in zip(self.names, self.files, strict=True)]
        return joined(scans, self.names, self.origin.name, stains=kind not in STACKED)

    def look(self) -> Look:
        """Raises FileRefused."""
        return self._seen

    @cached_property
    def _seen(self) -> Look:
        looks = [_told(name, formats.look, path) for name, path in zip(self.names, self.files, strict=True)]
        same_grid([look.grid for look in looks], self.names)
        remarks = dict.fromkeys(remark for look in looks for remark in look.remarks)
        return Look(looks[0].grid, (*remarks, told(self.names)))


def channel_files(
    kinds: Mapping[Path, str], files: Iterable[Path], refuse: Callable[[str], None]
) -> list[ChannelFiles]:
    """Of the image files of an import. `files`: all of it, the tables among them; `refuse` gets a line each."""
    found: list[ChannelFiles] = []
    taken: set[Path] = set()
    for table in (path for path in files if path.name.lower() == TABLE):
        for group in _said(table, kinds, refuse):
            if taken.isdisjoint(group.files):
                taken.update(group.files)
                found.append(group)
            else:
                refuse(f"{table.name}: a file of {group.origin.stem} is named twice; name it once")
    open_files = [path for path, kind in kinds.items() if kind != "dicom" and path not in taken]
    return [*found, *_cases(open_files), *_visits(open_files, refuse)]


def _told(name: str, look: Callable[[Path], Seen], path: Path) -> Seen:
    try:
        return look(path)
    except FileRefused as refusal:
        raise FileRefused(f"its channel {name} cannot be taken in: {refusal}") from None


def _cases(paths: list[Path]) -> Iterator[ChannelFiles]:
    """nnU-Net's, in its folders and where a description names the channels."""
    cases: dict[Path, dict[int, Path]] = defaultdict(dict)
    for path in paths:
        bare = bare_name(path.name)
        if number := CHANNEL.search(bare):
            origin = path.with_name(bare[: number.start()] + path.name[len(bare) :])
            cases[origin][int(number[1])] = path
    for origin, numbered in cases.items():
        if len(numbered) < 2:
            continue
        count = max(numbered) + 1
        names = described_channels(origin, count)
        if not names and origin.parent.name.lower() not in NNUNET:
            continue
        order = sorted(numbered)
        called = tuple(names[n] if names else f"Channel {n + 1}" for n in order)
        yield ChannelFiles(tuple(numbered[n] for n in order), names_made_good(called), origin)


def _visits(paths: list[Path], refuse: Callable[[str], None]) -> Iterator[ChannelFiles]:
    """BIDS' sequences of one visit where they are on one grid; on different ones each is an image of its own."""
    for origin, files in sequences_together(paths):
        group = ChannelFiles(tuple(files), tuple(name.channel for name in files.values()), origin)
        try:
            group.look()
        except OtherGrid as other:
            refuse(f"{origin.parent.name}/{origin.name}: {other}, so each is an image of its own")
        except FileRefused:
            pass  # said of the file that cannot be read, when it comes in
        else:
            yield group


def _said(table: Path, kinds: Mapping[Path, str], refuse: Callable[[str], None]) -> Iterator[ChannelFiles]:
    try:
        rows = read_table(table, (IMAGE, CHANNEL_NAME, FILE))
    except TableFault as fault:
        refuse(str(fault))
        return
    images: dict[str, list[TableRow]] = defaultdict(list)
    for row in rows:
        images[row.cells["image"]].append(row)
    for image, channels in images.items():
        files = [table.parent / row.cells["file"] for row in channels]
        lost = [row for row, file in zip(channels, files, strict=True) if kinds.get(file, "dicom") == "dicom"]
        if lost:
            name = lost[0].cells["file"]
            refuse(f"{table.name}, line {lost[0].line}: {name} is no image file beside it; mend the name")
        elif len(files) < 2:
            refuse(f"{table.name}, line {channels[0].line}: {image} has one channel; name two or more")
        else:
            ending = files[0].name[len(bare_name(files[0].name)) :]
            names = names_made_good(row.cells["channel"] for row in channels)
            yield ChannelFiles(tuple(files), names, files[0].with_name(_file_name(image) + ending))


def _file_name(image: str) -> str:
    return "".join("_" if c in "/\\" or not c.isprintable() else c for c in image) or "image"
