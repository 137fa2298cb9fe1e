"""Pictures to try the app with, made or carried by installed packages; nothing is downloaded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from annotator.exchange.examples import cells, gallery, phantoms
from annotator.exchange.examples.five_steps import begin_steps
from annotator.jobs import Job
from storage.scan import Scan
from storage.store import Store


@dataclass(frozen=True)
class ExampleSet:
    title: str
    about: str
    classes: tuple[tuple[str, str], ...]  # name and colour
    scans: Callable[[], Iterator[Scan]]
    count: int
    has_steps: bool = False  # it is shown in five steps


EXAMPLES = {
    "demo": ExampleSet(
        "Five-step demo",
        "Twelve made volumes with one organ each, and five steps from a click to a model",
        phantoms.CLASSES,
        phantoms.phantoms,
        phantoms.COUNT,
        has_steps=True,
    ),
    "cells": ExampleSet("Cells", "Ten made pictures of cells", cells.CLASSES, cells.cells, cells.COUNT),
    "gallery": ExampleSet(
        "Formats gallery",
        "Sixteen pictures and scans of many kinds and formats",
        gallery.CLASSES,
        gallery.gallery_scans,
        len(gallery.CARRIED) + 1,
    ),
}


def example_set(name: str) -> ExampleSet:
    """Raises LookupError."""
    if name not in EXAMPLES:
        raise LookupError(f"there are no examples {name!r}; there are: {', '.join(EXAMPLES)}")
    return EXAMPLES[name]


def fill_example(store: Store, name: str, job: Job) -> set[int]:
    """Put a set's classes and pictures into a project; the ids of those that are new. What is there already stays, so
    it can be run again. Raises LookupError."""
    example, known = example_set(name), {row.name for row in store.classes()}
    ids: list[int] = []
    added: set[int] = set()
    for title, color in example.classes:
        if title not in known:
            store.add_class(title, color)
    for done, scan in enumerate(example.scans()):
        job.check()
        job.report("examples", done, example.count, scan.name)
        found = store.find_image(scan)
        ids.append(store.add_image(scan) if found is None else found)
        if found is None:
            added.add(ids[-1])
    if example.has_steps:
        begin_steps(store, ids[0])
    job.report("examples", example.count, example.count, f"{example.title}: {len(added)} pictures added")
    return added
