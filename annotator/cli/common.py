"""What every command shares: the project's folder, progress in the terminal, the shape of a command."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotator.jobs import Job

PROJECTS = Path("slicewise-projects")
DEMO = "demo"

Parser = argparse.ArgumentParser
Options = argparse.Namespace


@dataclass(frozen=True)
class Command:
    """`fill` adds the arguments to a parser; `run` does the work and returns the exit code. The docstring of `run`
    is the text of `--help`."""

    fill: Callable[[Parser], None]
    run: Callable[[Options], int]
    help: str


class HelpText(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default only where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def require_project(command: Parser) -> None:
    command.add_argument("--project", type=Path, required=True, help="the project's folder")


def add_data(command: Parser, *, required: bool) -> None:
    """What to import, its masks, and the project that takes them."""
    if required:
        command.add_argument("data", type=Path, help="a file or folder of images or volumes")
    else:
        command.add_argument(
            "data",
            type=Path,
            nargs="?",
            help="a file or folder to import first; without DATA and --project the demo opens",
        )
    command.add_argument(
        "--project", type=Path, help="the project's folder, made if missing; else named after DATA"
    )
    command.add_argument(
        "--labels", type=Path, help="a file or folder with masks of DATA, imported as labels"
    )
    command.add_argument(
        "--scene",
        action="store_true",
        help="read DATA in place and copy nothing; OME-Zarr, slides and very large TIFFs always are",
    )


def check_data(data: Path | None, what: str = "images") -> None:
    """Raises FileNotFoundError."""
    if data is not None and not data.exists():
        raise FileNotFoundError(f"{data} does not exist; give a file or a folder of {what}")


def check_example(name: str) -> None:
    """Raises LookupError."""
    from annotator.exchange.examples import example_set  # what makes them takes a second to load

    example_set(name)


def project_of(options: Options) -> Path:
    """The folder that was given, else one named after the data."""
    given: Path | None = options.project
    data: Path | None = options.data
    if given is not None:
        return given.resolve()
    example = getattr(options, "example", None) or DEMO  # only `open` knows examples
    name = example if data is None else data.resolve().stem or "data"
    return (PROJECTS / name).resolve()


def terminal_job(kind: str) -> "Job":
    """A job that shows its progress on one line of the terminal; Ctrl+C ends it between two files."""
    from annotator.jobs import Job

    def show(job: Job) -> None:
        progress = job.progress
        line = f"{progress.phase} {progress.done}/{progress.total} {progress.message}"
        print(f"\r{line[:110]:<110}", end="", file=sys.stderr, flush=True)

    return Job(kind, show)


def print_refused(lines: Sequence[str]) -> None:
    """What could not be imported, a line each."""
    for line in lines:
        print(f"refused: {line}", file=sys.stderr)
