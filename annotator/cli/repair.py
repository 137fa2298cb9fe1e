"""`repair`: undo an import or a merged class, delete images and bring them back, rename them, mend their
headers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.cli.common import Options, Parser, require_project

if TYPE_CHECKING:
    from annotator.labels.repair import Repair, Repaired
    from storage.store import Store

ACTS = "list undo redo delete bin restore empty-bin rename spacing orientation header frames merge delete-class".split()


def fill_repair(command: Parser) -> None:
    command.add_argument("act", choices=ACTS, help="what to do; list shows the steps that undo and redo take")
    command.add_argument(
        "what", nargs="*", help="the number of a step, numbers or names of images, or the name of a class"
    )
    require_project(command)
    command.add_argument("--to", help="the new name, for rename")
    command.add_argument("--into", help="the class that remains, for merge")
    command.add_argument(
        "--mm", type=float, nargs=3, metavar=("Z", "Y", "X"), help="the width of a voxel, for spacing"
    )
    command.add_argument(
        "--ends",
        nargs=3,
        choices=list("RLAPSI"),
        metavar=("FIRST", "TOP", "LEFT"),
        help="what the first slice, the top and the left of the screen are, as S A R; for orientation",
    )
    command.add_argument(
        "--depth", action="store_true", help="for frames: the slices are depth after all, and no film"
    )
    command.add_argument(
        "--like", type=Path, help="a file of the same size with the right spacing and place, for header"
    )


def run_repair(options: Options) -> int:
    """Mend a project: undo an import or another large step as a whole, delete images into a bin, bring them back,
    rename them, replace their spacing, orientation or header, say that slices are frames in time, merge and delete
    classes."""
    from annotator.labels.label_cache import LabelCache
    from annotator.labels.repair import Repair
    from storage.store import Store

    if not (options.project / "project.db").exists():
        raise FileNotFoundError(f"{options.project} is not a project; import images into it first")
    looks = options.act in ("list", "bin")
    store = Store.read_only(options.project) if looks else Store(options.project)
    try:
        lines = _carry_out(options, store, Repair(store, LabelCache(store)))
    finally:
        store.close()
    print("\n".join(lines))
    return 0


def _carry_out(options: Options, store: "Store", repair: "Repair") -> list[str]:
    from annotator.access.accounts import local_user

    user, what = local_user(), options.what
    if options.act == "list":
        return [_act_line(act) for act in repair.acts()] or ["there is nothing to undo as a whole"]
    if options.act == "bin":
        return [
            f"{i['id']}  {i['name']}  deleted {i['deleted_at']} by {i['author']}" for i in repair.binned()
        ] or ["the bin is empty"]
    if options.act == "empty-bin":
        return [repair.empty_bin().message]
    if options.act in ("undo", "redo"):
        work = repair.undo if options.act == "undo" else repair.redo
        return [work(user, number).message for number in _numbers(what)]
    if options.act == "delete":
        return [repair.delete(user, _images(store, what)).message]
    if options.act == "frames":
        return [repair.set_frames(user, _images(store, what), not options.depth).message]
    if options.act == "restore":
        return [repair.bring_back(user, _binned(repair, what)).message]
    if options.act in ("merge", "delete-class"):
        return [_class_edit(options, store, user)]
    return [_one_image(options, store, repair, user)]


def _one_image(options: Options, store: "Store", repair: "Repair", user: str) -> str:
    (image_id,) = _images(store, _one(options.what, "an image"))
    if options.act == "rename":
        return repair.rename(user, image_id, _given(options.to, "--to NAME")).message
    if options.act == "orientation":
        first, top, left = _given(options.ends, "--ends FIRST TOP LEFT")
        return repair.set_orientation(user, image_id, (first, top, left)).message
    if options.act == "header":
        return _take_header(repair, user, image_id, _given(options.like, "--like FILE")).message
    z, y, x = _given(options.mm, "--mm Z Y X")
    return repair.set_spacing(user, image_id, (z, y, x)).message


def _take_header(repair: "Repair", user: str, image_id: int, path: Path) -> "Repaired":
    from storage import formats

    try:
        return repair.take_header(user, image_id, formats.look(path).grid, path.name)
    except formats.FileRefused as refusal:
        raise ValueError(f"{path}: {refusal}") from None


def _class_edit(options: Options, store: "Store", user: str) -> str:
    from annotator.labels.class_edits import ClassEdits
    from annotator.labels.label_cache import LabelCache

    (name,) = _one(options.what, "a class")
    change = {"op": "delete", "id": _class(store, name)}
    if options.act == "merge":
        change |= {"op": "merge", "into": _class(store, _given(options.into, "--into CLASS"))}
    ClassEdits(store, LabelCache(store)).edit(user, change)
    return store.acts.newest(1)[0].title


def _act_line(act: dict[str, object]) -> str:
    undone = " (undone)" if act["undone"] else ""
    return f"{act['id']}  {act['at']}  {act['title']}{undone}, by {act['by']}"


def _numbers(what: Sequence[str]) -> list[int]:
    if not what or not all(word.isdigit() for word in what):
        raise ValueError("give the number of a step; list shows them")
    return [int(word) for word in what]


def _images(store: "Store", what: Sequence[str]) -> list[int]:
    rows = store.images(limit=-1)[1]
    return _found(what, {row.name: row.id for row in rows}, "image")


def _binned(repair: "Repair", what: Sequence[str]) -> list[int]:
    return _found(what, {image["name"]: image["id"] for image in repair.binned()}, "deleted image")


def _found(what: Sequence[str], by_name: dict[str, int], kind: str) -> list[int]:
    """A name wins over a number."""
    if not what:
        raise ValueError(f"name the {kind}, or give its number")
    ids = set(by_name.values())
    found = [by_name.get(word, int(word) if word.isdigit() else 0) for word in what]
    if unknown := [word for word, image_id in zip(what, found, strict=True) if image_id not in ids]:
        raise LookupError(f"there is no {kind} {unknown[0]!r} in this project")
    return found


def _class(store: "Store", name: str) -> int:
    found = next((row.id for row in store.classes() if row.name == name), None)
    if found is None:
        known = ", ".join(row.name for row in store.classes()) or "none"
        raise LookupError(f"there is no class {name!r} in this project; there are: {known}")
    return found


def _one(what: Sequence[str], kind: str) -> Sequence[str]:
    if len(what) != 1:
        raise ValueError(f"name {kind}, and only one")
    return what


def _given(value: Any, option: str) -> Any:
    if value is None:
        raise ValueError(f"this needs {option}")
    return value
