"""The program that predicts beside an exported model: our own modules as they are, and what they need."""

import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from annotator.learning.exporting.imports import ROOT, Needed, needed_by

PROGRAM = "annotator.learning.exported.program"
LAUNCHER = ROOT / "annotator" / "learning" / "exported" / "predict.py"
PACKED = "slicewise"  # the folder of our modules
PLUGINS = ("pylibjpeg", "pylibjpeg-openjpeg")  # found by pydicom at run time: no import names them


def pack_program(folder: Path) -> None:
    """Into an exported model's folder: the launcher, our modules in a folder of their own, requirements.txt."""
    write_requirements(folder, pack_code(folder / PACKED))
    shutil.copyfile(LAUNCHER, folder / LAUNCHER.name)


def pack_code(folder: Path) -> Needed:
    """Our modules that predict."""
    needed = needed_by(PROGRAM)
    for module in needed.ours.values():
        target = folder / module.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, target)
    licence = ROOT / "LICENSE"
    if licence.is_file():
        shutil.copyfile(licence, folder / licence.name)
    return needed


def write_requirements(folder: Path, needed: Needed, more: Sequence[str] = ()) -> list[str]:
    """requirements.txt, and its lines; `more`: others beside what our modules import."""
    lines = sorted((*_requirements(needed), *more), key=str.lower)
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


def _requirements(needed: Needed) -> list[str]:
    """The packages that this app runs on, so that the answers are its own."""
    packages = packages_distributions()
    names = {packages.get(module, [module])[0] for module in needed.others} | set(PLUGINS)
    return [_pinned(name) for name in names]


def _pinned(name: str) -> str:
    try:
        return f"{name}=={version(name).split('+')[0]}"  # "+cpu" names a build that no registry has
    except PackageNotFoundError:
        return name
