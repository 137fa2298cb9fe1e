"""What a person wants predicted: files, and everything below folders, each with the name that its mask will have."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from annotator.exchange.channels.channel_files import ChannelFiles, channel_files
from annotator.exchange.image_files import by_first_file, files_of, image_files, nearest_place
from annotator.exchange.import_files import FileListing, find_files
from storage import formats
from storage.formats import FileRefused, dicom
from storage.formats.privacy import Identities
from storage.scan import Scan

Refuse = Callable[[str], None]  # takes one sentence about one file


@dataclass(frozen=True)
class Source:
    """One file or one DICOM series."""

    name: str  # of its masks below the output folder, without a suffix; no other source has it
    shown: str
    file: Path
    series: dicom.Series | None = None
    channels: ChannelFiles | None = None
    kind: str = ""

    def read(self) -> list[Scan]:
        """As the app reads it; a series that mixes echoes or times gives several. Raises FileRefused."""
        if self.channels is not None:
            return [self.channels.read(self.kind)]
        if self.series is None:
            return [formats.read(self.file)]
        return [scan for scan, _ in formats.read_series(self.series)]


@dataclass
class Sources:
    """Finds them. `out` is passed over where it lies inside a folder that is searched. `joint`: files that are the
    channels of one image are one source, as a model of named channels needs them."""

    out: Path
    refuse: Refuse
    joint: bool = True
    _names: set[str] = field(default_factory=set)

    def of(self, paths: Sequence[Path]) -> list[Source]:
        return [source for path in paths for source in self._below(path)]

    def free_name(self, wanted: str) -> str:
        """Unlike every other, whatever the file system thinks of case."""
        name, number = wanted, 2
        while name.casefold() in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name.casefold())
        return name

    def _below(self, path: Path) -> Iterator[Source]:
        if not path.exists():
            self.refuse(f"{path}: there is no such file or folder")
            return
        found = find_files(path.resolve(), apart_from=self.out.resolve())
        for name in (*found.unreadable, *map(str, found.closed)):
            self.refuse(f"{name}: it cannot be opened or its name is no text")
        kinds = self._kinds(found, alone=path.is_file())
        series = self._series(found, [file for file, kind in kinds.items() if kind == "dicom"])
        groups = channel_files(kinds, found.files, self.refuse) if self.joint else []
        joint = {path: group for group in groups for path in group.files}
        for file, kind in kinds.items():
            if (group := joint.get(file)) is not None:
                if file == group.files[0]:
                    named, shown = self._named(found, group.origin), found.shown(group.origin)
                    yield Source(named, shown, file, channels=group, kind=kind)
            elif kind != "dicom":
                yield Source(self._named(found, file), found.shown(file), file)
            for one in series.get(file, ()):
                place = nearest_place(files_of(one))
                shown = found.root.name if place == found.root else found.shown(place)
                yield Source(self._named(found, place), shown, file, one)

    def _kinds(self, found: FileListing, *, alone: bool) -> dict[Path, str]:
        images = image_files(found.files, alone=alone)
        for file, reason in images.refused:
            self.refuse(f"{found.shown(file)}: {reason}")
        return images.kinds

    def _series(self, found: FileListing, files: Sequence[Path]) -> dict[Path, list[dicom.Series]]:
        """By their first file."""
        collector = dicom.Collector(Identities(salt=""))
        for file in files:
            try:
                collector.add(file)
            except FileRefused as refusal:
                self.refuse(f"{found.shown(file)}: {refusal}")
        return by_first_file(collector.series())

    def _named(self, found: FileListing, place: Path) -> str:
        if place == found.root:
            return self.free_name(place.name or "series")
        below = PurePosixPath(found.shown(place))
        last = place.name if place.is_dir() else formats.stem(place)
        return self.free_name((below.parent / last).as_posix())
