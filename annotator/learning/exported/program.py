"""The command line of an exported model: what to read, where to write, what it says, how it ends."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotator.learning.exported.masks import TrainedModel, mask_of, open_model, stage, write_mask
from annotator.learning.exported.sources import Source, Sources
from learners.prediction.reasons import Reason
from learners.text import count_of
from storage.formats import FileRefused
from storage.formats.base import PartOfAnother
from storage.scan import Scan

WITHHELD: dict[Reason, str] = {  # of the reasons that the exported guards give
    "unlearnt": "the model finds next to nothing even on most images that people labelled",
    "everywhere": "the model painted nearly all of it, far more than any label shows",
    "outside": "what the model found looks or lies like nothing that people drew",
}
STOPPED = 130  # the exit code of a program that Ctrl+C ended


def main(arguments: Sequence[str], folder: Path) -> int:
    """`folder` holds the model. 0 where every image got its mask, 1 where one was refused, 2 for wrong arguments."""
    given = _parser().parse_args(arguments)
    if given.out.exists() and not given.out.is_dir():
        print(f"{given.out} is a file; name the folder for the masks last", file=sys.stderr)
        return 2
    try:
        model = open_model(folder, given.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if given.group and (refusal := wrong_group(model, given.group)):
        print(refusal, file=sys.stderr)
        return 2
    try:
        return Run(model, given.out, given.group, given.anyway).predict(given.source)
    except KeyboardInterrupt:
        print("\nstopped; the masks so far are whole", file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py", description="Masks of images, as the app that trained this model makes them."
    )
    parser.add_argument("source", nargs="+", type=Path, help="image files and folders of them, also DICOM")
    parser.add_argument("out", type=Path, help="the folder for the masks")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument(
        "--group", default="", help="the site, stain or scanner of the images, where the model knows it"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="also write masks that the app would show to nobody"
    )
    return parser


def wrong_group(model: TrainedModel, group: str) -> str | None:
    """A sentence where the model does not know the group."""
    if model.groups is None:
        return "this model was adapted to no group; leave --group out"
    names = [each.name for each in model.groups.groups]
    return None if group in names else f"there is no group {group!r}; there are: {', '.join(names)}"


@dataclass
class Run:
    """One run of the program: it counts what it wrote and what it refused."""

    model: TrainedModel
    out: Path
    group: str = ""
    anyway: bool = False  # masks that cannot make sense are written too
    written: int = 0
    refused: int = 0
    parts: list[str] = field(default_factory=list)  # lines about files whose image another file leads
    _line: str = field(default="", repr=False)

    def predict(self, paths: Sequence[Path]) -> int:
        sources = Sources(self.out, self.refuse, joint=bool(self.model.plan.network.named))
        found = sources.of(paths)
        if not found and not self.refused:
            self.refuse("there is no image among the files that were given")
        for number, source in enumerate(found, start=1):
            self._line = f"{number} of {len(found)}, {source.shown}"
            self._one(source, sources)
        for line in self.parts if not self.written else ():
            self.refuse(line)
        print(f"{count_of(self.written, 'mask')} in {self.out}, {self.refused} refused", file=sys.stderr)
        return 1 if self.refused else 0

    def refuse(self, sentence: str) -> None:
        self.refused += 1
        self._show("")
        print(sentence, file=sys.stderr)

    def _one(self, source: Source, sources: Sources) -> None:
        try:
            self._show("reading")
            scans = source.read()
            for number in range(len(scans)):  # taken out one by one: what is predicted needs its room
                name = source.name if number == 0 else sources.free_name(source.name)
                self._mask(scans.pop(0), name)
        except PartOfAnother as refusal:
            self.parts.append(f"{source.shown}: {refusal}")
        except (FileRefused, OSError, MemoryError) as error:
            self.refuse(f"{source.shown}: {_reason(error)}")
        except RuntimeError as error:  # torch says so when the memory of a GPU runs out
            if "out of memory" not in str(error):
                raise
            self.refuse(f"{source.shown}: the GPU's memory does not suffice; take --device cpu")

    def _mask(self, scan: Scan, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="slicewise-") as place:
            staged = stage(scan, Path(place), self.group)
            del scan
            path = self.out / f"{name}{staged.suffix}"
            if path.exists():
                raise FileRefused(f"{path} is there already; remove it or choose another folder")
            mask = mask_of(self.model, staged, lambda share: self._show(f"{share:.0%}"))
            if mask.withheld is not None and not self.anyway:
                raise FileRefused(f"{WITHHELD[mask.withheld]}, so no mask is written; --anyway writes it")
            self._show("writing")
            write_mask(path, mask, staged)
        self.written += 1
        self._show("")
        print(path)

    def _show(self, what: str) -> None:
        """Progress on one line of a terminal; elsewhere nobody wants a thousand lines."""
        if sys.stderr.isatty():
            print(f"\r{self._line[:60] + ': ' + what if what else '':<78}", end="\r" if not what else "",
                  file=sys.stderr, flush=True)  # fmt: skip
        elif what == "reading":
            print(self._line, file=sys.stderr, flush=True)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit into memory; crop or downsample it"
    return str(getattr(error, "strerror", None) or error)
