"""`import`: images into a project, and masks as labels; or only a look at what would become what."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.cli.common import (
    Options,
    Parser,
    add_data,
    check_data,
    print_refused,
    project_of,
    terminal_job,
)

if TYPE_CHECKING:
    from annotator.exchange.import_plan import ImportRequest, ProjectFacts
    from annotator.exchange.masks.meaning import Meaning


def fill_import(command: Parser) -> None:
    add_data(command, required=True)
    kinds = command.add_mutually_exclusive_group()
    kinds.add_argument("--objects", action="store_true", help="mask values number objects, not classes")
    kinds.add_argument("--classes", action="store_true", help="mask values are classes, however many")
    command.add_argument(
        "--value",
        action="append",
        default=[],
        type=value_meaning,
        metavar="NUMBER=NAME",
        help="what a mask value, or a colour as #ff0000, means: a class, void (nobody knows) or background; "
        "may be repeated",
    )
    command.add_argument(
        "--take-headers",
        action="store_true",
        help="give images that are there already the spacing and place that their files say now",
    )
    command.add_argument(
        "--copies",
        choices=("same", "both"),
        default="",
        help="what files with the pixels of another image are: that image, or images of their own; without it a copy "
        "of an image that is there is that image, and blank pictures and files of one import are their own",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="print what would become what, and import nothing"
    )


def value_meaning(text: str) -> "tuple[int, Meaning]":
    """5=liver, 255=void, 0=background or #ff0000=road."""
    from annotator.exchange.masks.meaning import Meaning
    from annotator.exchange.masks.value_names import HEX, clean_name
    from storage.formats import COLOUR

    number, _, name = text.partition("=")
    name = clean_name(name)
    colour = HEX.fullmatch(number) if number.startswith("#") else None
    if not (name and (colour or (number.isdecimal() and int(number) <= 65535))):
        raise argparse.ArgumentTypeError(
            f"write NUMBER=NAME with a number up to 65535, or #rrggbb=NAME, got {text!r}"
        )
    value = COLOUR + int(number[1:], 16) if colour else int(number)
    if name in ("void", "background"):
        return value, Meaning("void" if name == "void" else "background")
    return value, Meaning("class", name, number.lower() if colour else None)


def run_import(options: Options) -> int:
    """Import images, and masks as labels. Bad files are skipped; each gets a line that says why. With --dry-run only
    a plan of it is printed."""
    check_data(options.data)
    check_data(options.labels, "masks")
    from annotator.scenes.first_import import NO_MASKS, opens_in_place

    if opens_in_place(options.data, options.scene):
        if options.labels:
            print(f"slicewise: note: {NO_MASKS.format(options.labels.name)}", file=sys.stderr)
        return _take_scene(options)
    return _print_plan(options) if options.dry_run else _import(options)


def _import(options: Options) -> int:
    from annotator.exchange.import_act import as_one_act
    from annotator.exchange.import_images import carry_out
    from annotator.exchange.import_plan import facts_of, plan_import
    from learners.text import count_of
    from storage.store import Store

    job, store = terminal_job("import"), Store(project_of(options))
    try:
        with as_one_act(store, options.data.name):
            report = carry_out(store, plan_import(facts_of(store), _request(options), job))
    finally:
        store.close()
    print(file=sys.stderr)  # ends the line of progress
    for note in report.notes:
        print(f"slicewise: note: {note}", file=sys.stderr)
    print_refused(report.refused)
    masks = f" with {count_of(len(report.labelled), 'mask')}" if report.labelled else ""
    again = f" ({report.replaced} in place of earlier ones)" if report.replaced else ""
    copies = f", {count_of(report.copies, 'file')} taken as images that are here" if report.copies else ""
    print(
        f"{len(report.added)} imported into {store.root}{masks}{again}{copies}, {len(report.refused)} refused"
    )
    if report.added or report.known or report.labelled or report.copies:
        return 0
    if not report.refused:
        print(f"slicewise: {options.data} holds no image; give a file or a folder of images", file=sys.stderr)
    return 1


def _take_scene(options: Options) -> int:
    from annotator.scenes.taking import take_scene
    from learners.text import count_of
    from storage.store import Store

    if options.dry_run:
        print(f"{options.data.name}: a scene, which is read in place; nothing of it is copied")
        return 0
    store = Store(project_of(options))
    try:
        scene = take_scene(store, options.data, terminal_job("import"))
    finally:
        store.close()
    print(file=sys.stderr)  # ends the line of progress
    if scene.lost:
        lost = count_of(scene.lost, "piece")
        print(f"slicewise: note: {scene.name}: {lost} of the file cannot be read", file=sys.stderr)
    slabs, rows, columns = scene.grid.counts
    print(
        f"{scene.name} is a scene of {slabs * rows * columns:,} regions in {store.root}; nothing was copied"
    )
    return 0


def _print_plan(options: Options) -> int:
    from annotator.exchange.import_look import look_at
    from annotator.exchange.import_plan import plan_import
    from annotator.exchange.look_text import lines_of

    job = terminal_job("import")
    with _facts(project_of(options)) as facts:
        look = look_at(plan_import(facts, _request(options), job), facts)
    print(file=sys.stderr)  # ends the line of progress
    for line in lines_of(look):
        print(line)
    return 0 if look.images else 1


@contextmanager
def _facts(root: Path) -> "Iterator[ProjectFacts]":
    """Of a project that may be open elsewhere, or not made yet; nothing is written."""
    from annotator.exchange.import_items import SALT
    from annotator.exchange.import_plan import ProjectFacts, with_images
    from storage.store import Store

    if not (root / "project.db").exists():
        yield ProjectFacts(root)
        return
    store = Store.read_only(root)
    try:
        yield with_images(ProjectFacts(root, tuple(store.classes()), store.setting(SALT) or ""), store)
    finally:
        store.close()


def _request(options: Options) -> "ImportRequest":
    from annotator.exchange.import_plan import ImportRequest
    from annotator.exchange.masks.meaning import ValueChoices

    objects = True if options.objects else False if options.classes else None
    return ImportRequest(
        path=options.data.resolve(),
        labels=options.labels.resolve() if options.labels else None,
        values=ValueChoices(objects, dict(options.value)),
        copies=options.copies,
        take_headers=options.take_headers,
    )
