"""Masks from image tags against plain maps, the same minutes of clicks, and all masks drawn.

    python -m benchmarks.tags [--quick] [--set NAME]

A tag takes a second a slice. The built-in network, whose features and masks this uses, was trained on the training
splits of these sets: tagged and unseen images are therefore both from the validation splits, never the same image.
Pictures are cut into crops, of which some hold the object and some do not, as pictures of a real project would.
Dice is per source image (volume), the mean over those that hold the class.
"""

import csv
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from annotator.labels.tagging import Tagging
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import CompleteMessage, LabelMessage
from annotator.workflow import Workflow
from benchmarks.clicks import depth
from benchmarks.common import Row, finish, parser
from benchmarks.simulated import OPEN_SECONDS, SLICE_SECONDS
from learners.engines import SerialExecutor
from learners.methods.tags.affinity import at_side, responses, transition, walk
from learners.methods.tags.classifier import load_head, maps_of
from learners.methods.tags.features import Places
from learners.methods.tags.masks import CUT, at_size, prompted
from learners.methods.tags.round import HEAD
from learners.spec import Example
from learners.training.data import ImageReader
from learners.training.pictures import picture_of
from learners.training.targets import Classes
from models.builtin import BuiltIn
from models.graphcut.random_walker import PixelPrior
from models.graphcut.random_walker import walk as dense_walk
from models.prompt import Prompts
from storage.arrays import SliceRef
from storage.formats import lay_on, read, read_labels
from storage.formats.grid import grid_of_image
from storage.scan import Scan
from storage.store import Store
from storage.tags import TagBatch

TAG_SECONDS, CLICK_SECONDS = 1.0, 2.4  # benchmarks.md (c2); a tag is what the grid was made for
HOLD = 0.05  # how strongly the dense refinement keeps to the map


@dataclass(frozen=True)
class ImagePiece:
    """A crop, or a whole volume."""

    source: str  # the file it is from
    pixels: NDArray  # (Z, Y, X[, 3])
    truth: NDArray[np.uint8]  # (Z, Y, X)


@dataclass(frozen=True)
class TagSet:
    name: str
    classes: tuple[str, ...]
    tagged: tuple[ImagePiece, ...]
    unseen: tuple[ImagePiece, ...]
    every: int = 1  # of so many slices of a volume one is tagged


@dataclass
class Scores:
    """Overlaps by source and class: twice what both have, the sizes of both, the size of the truth."""

    found: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def add(self, source: str, value: int, mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
        sums = self.found.setdefault((source, value), [0.0, 0.0, 0.0])
        sums[0] += 2.0 * float((mask & truth).sum())
        sums[1] += float(mask.sum() + truth.sum())
        sums[2] += float(truth.sum())

    @property
    def mean(self) -> float:
        dice = [a / b for a, b, there in self.found.values() if there]
        return float(np.mean(dice)) if dice else 0.0


@dataclass
class Project:
    """A project in a folder of its own, and what is true in it."""

    store: Store
    workflow: Workflow
    scheduler: Scheduler
    tagged: dict[int, ImagePiece]
    unseen: dict[int, ImagePiece]

    def close(self) -> None:
        self.scheduler.close()
        self.workflow.close()


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--set", action="append", choices=list(SETS), help="default: all that are there")
    options.add_argument("--seconds", type=float, help="of training for each method; default 240, quick 12")
    options.add_argument("--count", type=int, help="crops of each half; default 200, quick 24")
    asked = options.parse_args()
    seconds = asked.seconds or (12.0 if asked.quick else 240.0)
    count = asked.count or (24 if asked.quick else 200)
    rows: list[Row] = []
    for name in asked.set or SETS:
        for seed in range(1 if asked.quick else asked.seeds):
            made = SETS[name](asked.data, count, seed)
            if made is None:
                print(f"{name}: left out, its folder is not in {asked.data}")
                break
            for row in run(made, seconds, seed):
                print(f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
    finish(rows, asked.json)


def run(data: TagSet, seconds: float, seed: int) -> Iterator[Row]:
    """All methods on one draw of a set; every one has the same seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        slices = sum(len(_tagged_slices(p, data.every)) for p in data.tagged)
        minutes = slices * TAG_SECONDS / 60

        def row(method: str, metric: str, value: float, n: int = slices) -> Row:
            return Row(data.name, method, metric, value, n=n, seed=seed)

        everything = Scores()
        for piece in data.tagged:
            for z in _tagged_slices(piece, data.every):
                for value in _values(piece.truth[z]):
                    everything.add(
                        piece.source, value, np.ones(piece.truth[z].shape, bool), piece.truth[z] == value
                    )
        yield row("floor: the whole slice", "Dice, tagged", everything.mean)
        project = _project(Path(folder) / "tags", data, ("tags",), seconds, seed)
        _tag(project, data.every)
        project.scheduler.run_until_idle()
        status = project.scheduler.status()[0]
        if status["state"] != "idle":
            print(f"{data.name}: {status['message']}")
        else:
            for method, dice in _maps(project, data).items():
                yield row(method, "Dice, tagged", dice)
            yield row("tags: network", "Dice, tagged", _network(project, project.tagged, data.every))
            yield row("tags: network", "Dice, unseen", _network(project, project.unseen, 1))
        yield row("tags: network", "minutes", minutes)
        project.close()
        project = _project(Path(folder) / "clicks", data, ("supervised",), seconds, seed)
        spent, labelled = _click(project, minutes * 60, data.every, seed)
        project.scheduler.run_until_idle()
        yield row(
            "the same minutes of clicks", "Dice, unseen", _network(project, project.unseen, 1), labelled
        )
        yield row("the same minutes of clicks", "Dice, tagged", _network(project, project.tagged, data.every))
        yield row("the same minutes of clicks", "minutes", spent / 60, labelled)
        project.close()
        project = _project(Path(folder) / "all", data, ("supervised",), seconds, seed)
        _draw_all(project, data.every)
        project.scheduler.run_until_idle()
        yield row("ceiling: all of it drawn", "Dice, unseen", _network(project, project.unseen, 1))
        project.close()


# what people do


def _tag(project: Project, every: int) -> None:
    tagging = Tagging(project.store)
    classes = [c.id for c in project.store.classes()]
    for image_id, piece in project.tagged.items():
        for z in _tagged_slices(piece, every):
            there = _values(piece.truth[z])
            by = TagBatch(uuid.uuid4().hex, "simulated", seconds=TAG_SECONDS)
            tagging.add([(image_id, 0, z)], {c: c in there for c in classes}, by)
    project.scheduler.notify()


def _click(project: Project, seconds: float, every: int, seed: int) -> tuple[float, int]:
    """One click for each object of a slice, its first mask taken, then complete; slices at random until time is up."""
    places = [(i, z) for i, piece in project.tagged.items() for z in _tagged_slices(piece, every)]
    spent, labelled = 0.0, 0
    for at in np.random.default_rng(seed).permutation(len(places)):
        image_id, z = places[at]
        truth = project.tagged[image_id].truth[z]
        objects = list(_objects(truth))
        cost = OPEN_SECONDS + SLICE_SECONDS + CLICK_SECONDS * len(objects)
        if spent + cost > seconds and labelled:
            continue
        _commit_clicks(project, SliceRef(image_id, 0, z), objects, cost)
        spent, labelled = spent + cost, labelled + 1
    return spent, labelled


def _commit_clicks(
    project: Project, ref: SliceRef, objects: Sequence[tuple[int, NDArray[np.bool_]]], seconds: float
) -> None:
    window = project.store.image(ref.image_id).window
    said = None
    for value, mask in objects:
        point = np.unravel_index(int(np.argmax(depth(mask))), mask.shape)
        prompts = Prompts(points_rc=((float(point[0]), float(point[1])),), labels=(1,))
        found = project.workflow.prompting.predict(ref, window, prompts).prediction.mask
        said = np.full(mask.shape, 255, np.uint8) if said is None else said
        said[found] = value
    if said is not None:
        _commit(project, ref, said, seconds)
    _complete(project, ref)


def _draw_all(project: Project, every: int) -> None:
    for image_id, piece in project.tagged.items():
        for z in _tagged_slices(piece, every):
            ref = SliceRef(image_id, 0, z)
            if piece.truth[z].any():
                _commit(project, ref, piece.truth[z], 0.0)
            _complete(project, ref)


def _commit(project: Project, ref: SliceRef, classes: NDArray[np.uint8], seconds: float) -> None:
    place: dict[str, Any] = {"image": ref.image_id, "axis": ref.axis, "index": ref.index}
    said: dict[str, Any] = {
        "box": (0, 0, *classes.shape),
        "source": "prompted",
        "base_rev": 0,
        "seconds": seconds,
    }
    message = LabelMessage(t="label", id=uuid.uuid4().hex, **place, **said)
    project.workflow.commit("simulated", message, encode_runs(np.ascontiguousarray(classes)))


def _complete(project: Project, ref: SliceRef) -> None:
    place: dict[str, Any] = {"image": ref.image_id, "axis": ref.axis, "index": ref.index}
    message = CompleteMessage(t="complete", id=uuid.uuid4().hex, **place, on=True)
    project.workflow.commit("simulated", message, b"")


# what it comes to


def _maps(project: Project, data: TagSet) -> dict[str, float]:
    """Every step on the way from tags to masks, on the tagged slices that hold a class."""
    folder = project.scheduler.rounds.model("tags")
    assert folder is not None
    head = load_head(folder / HEAD, len(data.classes))
    trunk, model = Places(), BuiltIn()
    names = ("plain map", "map + dense refinement", "map + prompt affinity", "tags: masks before training")
    scores = {name: Scores() for name in names}
    for image_id, piece in project.tagged.items():
        case = _case(project.store, image_id, data)
        for z in _tagged_slices(piece, data.every):
            there = sorted(_values(piece.truth[z]))
            if not there:
                continue
            picture = picture_of(case, 0, z)
            shape = picture.shape[:2]
            cam = at_side(maps_of(head, trunk.features(picture))[0][[v - 1 for v in there]])
            embedding = model.encode(picture)
            walked = at_size(walk(cam, transition(responses(model, embedding))), shape)
            made: dict[str, Sequence[NDArray[np.bool_]]] = {
                names[0]: list(at_size(cam, shape) > CUT),
                names[1]: list(at_size(_dense(cam, picture), shape) > CUT),
                names[2]: list(walked > CUT),
                names[3]: [prompted(model, embedding, one) for one in walked],
            }
            for name, masks in made.items():
                for value, mask in zip(there, masks):
                    scores[name].add(piece.source, value, mask, piece.truth[z] == value)
    return {name: one.mean for name, one in scores.items()}


def _dense(cam: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A random walker on the picture's colours that leans on the map."""
    small = cv2.resize(picture, cam.shape[:0:-1], interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(np.asarray(small, np.uint8), cv2.COLOR_RGB2LAB).astype(np.float32)
    return np.stack([dense_walk(lab, PixelPrior(one, np.full(one.shape, HOLD, np.float32))) for one in cam])


def _network(project: Project, pieces: dict[int, ImagePiece], every: int) -> float:
    """Of the newest proposals; nothing proposed is an empty mask."""
    scores = Scores()
    for image_id, piece in pieces.items():
        row = project.store.predictions.newest(image_id)
        proposed = np.zeros(piece.truth.shape, np.uint8) if row is None else row.classes()
        slices = _tagged_slices(piece, every)
        for value in range(1, len(project.store.classes()) + 1):
            scores.add(piece.source, value, proposed[slices] == value, piece.truth[slices] == value)
    return scores.mean


def _project(folder: Path, data: TagSet, learners: tuple[str, ...], seconds: float, seed: int) -> Project:
    settings = LearnSettings(
        learners, seconds=seconds, settle_seconds=0, predict_seconds=86_400, device="cpu"
    )
    store = Store(folder)
    for name in data.classes:
        store.add_class(name)
    ids = []
    for number, piece in enumerate((*data.tagged, *data.unseen)):
        spacing = (1.0, 1.0, 1.0) if piece.pixels.shape[0] > 1 else None
        ids.append(
            store.add_image(
                Scan(f"{number:04d} {piece.source}", piece.pixels, spacing_mm=spacing, marks=None)
            )
        )
    count = len(data.tagged)
    scheduler = Scheduler(store, SerialExecutor(), settings=settings)
    tagged, unseen = dict(zip(ids, data.tagged)), dict(zip(ids[count:], data.unseen))
    return Project(store, Workflow(store, PromptService(store)), scheduler, tagged, unseen)


def _case(store: Store, image_id: int, data: TagSet) -> ImageReader:
    row = store.image(image_id)
    example = Example(row.id, row.path, row.shape, row.channels, row.spacing_mm)
    return ImageReader(example, Classes(tuple(range(1, len(data.classes) + 1))), row.channels)


def _tagged_slices(piece: ImagePiece, every: int) -> list[int]:
    return list(range((every - 1) // 2, piece.truth.shape[0], every))


def _values(truth: NDArray[np.uint8]) -> set[int]:
    return set(np.unique(truth).tolist()) - {0}


def _objects(truth: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    for value in sorted(_values(truth)):
        count, number = cv2.connectedComponents((truth == value).astype(np.uint8), connectivity=4)
        for k in range(1, count):
            yield value, number == k


# sets


def _crops(
    folder: Path, name: str, side: int, count: int, seed: int, wanted: Callable[[dict[str, str]], bool]
) -> TagSet | None:
    """Tiles of the validation images, as many with the object as without where there are enough; every other image
    is unseen."""
    if not (folder / "split.csv").is_file():
        return None
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["split"] == "val" and wanted(row)]
    rng = np.random.default_rng(seed)
    halves: list[list[ImagePiece]] = [[], []]
    for number, file_name in enumerate(files):
        mask_file = next((folder / "labels").glob(Path(file_name).stem + ".*"))
        piece = _piece(folder / "images" / file_name, mask_file)
        halves[number % 2] += list(_tiles(file_name, piece.pixels, (piece.truth > 0).astype(np.uint8), side))
    tagged, unseen = (tuple(_balanced(half, count, rng)) for half in halves)
    return TagSet(name, ("object",), tagged, unseen)


def _piece(image: Path, mask: Path) -> ImagePiece:
    """A whole image in display order with its truth."""
    scan = read(image)
    values, own = read_labels(mask)
    truth = lay_on(values, own, grid_of_image(scan.geometry, scan.shape, scan.spacing_mm))
    return ImagePiece(image.name, scan.pixels, truth.astype(np.uint8))


def _tiles(source: str, pixels: NDArray, truth: NDArray[np.uint8], side: int) -> Iterator[ImagePiece]:
    for r in range(0, truth.shape[1] - side + 1, side):
        for c in range(0, truth.shape[2] - side + 1, side):
            part = (slice(None), slice(r, r + side), slice(c, c + side))
            yield ImagePiece(source, np.ascontiguousarray(pixels[part]), np.ascontiguousarray(truth[part]))


def _balanced(pieces: Sequence[ImagePiece], count: int, rng: np.random.Generator) -> list[ImagePiece]:
    chosen = []
    for there in (True, False):
        some = [p for p in pieces if bool(p.truth.any()) is there]
        chosen += [some[i] for i in rng.permutation(len(some))[: count // 2]]
    return chosen


def _fluorescence(data: Path, count: int, seed: int) -> TagSet | None:
    folder = data / "dsb2018-nuclei"
    return _crops(
        folder, "nuclei, fluorescence", 64, count, seed, lambda row: row["domain"].startswith("fluo")
    )


def _histology(data: Path, count: int, seed: int) -> TagSet | None:
    folder = data / "dsb2018-nuclei"
    return _crops(folder, "nuclei, histology", 64, count, seed, lambda row: row["domain"].startswith("histo"))


def _pitting(data: Path, count: int, seed: int) -> TagSet | None:
    return _crops(data / "bsdata-pitting", "pitting", 128, count, seed, lambda row: True)


def _hippocampus(data: Path, count: int, seed: int) -> TagSet | None:
    folder = data / "hippocampus"
    if not (folder / "split.csv").is_file():
        return None
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["split"] == "val"]
    order = np.random.default_rng(seed).permutation(files)
    each = max(2, min(len(files) // 2, count // 12))
    pieces = [_piece(folder / "images" / name, folder / "labels" / name) for name in order[: 2 * each]]
    return TagSet(
        "hippocampus slices", ("anterior", "posterior"), tuple(pieces[:each]), tuple(pieces[each:]), every=3
    )


SETS: dict[str, Callable[[Path, int, int], TagSet | None]] = {
    "nuclei-fluo": _fluorescence,
    "nuclei-histo": _histology,
    "pitting": _pitting,
    "hippocampus": _hippocampus,
}


if __name__ == "__main__":
    main()
