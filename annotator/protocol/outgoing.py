"""Every message that the server sends, one function each; the fields are those of docs/protocol.md."""

from collections.abc import Sequence
from typing import Any, Literal

from storage.fold import Region

Message = dict[str, Any]  # what goes over the wire as JSON

PROTOCOL = 1

JobState = Literal["running", "done", "failed", "cancelled"]
FillState = Literal["running", "done", "failed", "none"]
RoundState = Literal["waiting", "running", "idle", "paused", "failed"]
SliceState = tuple[int, int, str]  # axis, index, "labelled" or "complete"


def hello(user: str) -> Message:
    return {"t": "hello", "user": user, "protocol": PROTOCOL}


def pong(n: float) -> Message:
    return {"t": "pong", "n": n}


def refused(
    message: str,
    *,
    retry: bool = False,
    id: str | None = None,
    seq: int | None = None,
    mend: int | None = None,
) -> Message:
    """`id` of the change, `seq` of the question or `mend` of what was to be mended, where that is known."""
    return {"t": "refused", **_given(id=id, seq=seq, mend=mend), "message": message, "retry": retry}


# labels


def ack(
    id: str,
    *,
    label: int | None,
    rev: int,
    instance: int = 0,
    conflict: Message | None = None,
    slices: int | None = None,
    voxels: int | None = None,
    objects: int | None = None,
    cleared: int | None = None,
) -> Message:
    """`voxels` and `objects` are said of acceptances, without background; `cleared` counts the labels of a clearing."""
    told = {"label": label, "rev": rev, "instance": instance, "conflict": conflict}
    return {
        "t": "ack",
        "id": id,
        **told,
        **_given(slices=slices, voxels=voxels, objects=objects, cleared=cleared),
    }


def conflict(by: str, pixels: int) -> Message:
    """Of an `ack`: pixels on which somebody else's newer label was kept."""
    return {"by": by, "pixels": pixels}


def region(image: int, rev: int, by: str, box: Region, *, instances: bool) -> Message:
    told = {"image": image, "rev": rev, "by": by, "box": list(box)}
    return {"t": "region", **told, "instances": instances}


def slices(image: int, rev: int, states: Sequence[SliceState], *, known: float) -> Message:
    """`known`: the share of the image's voxels that people spoke about."""
    listed = [list(state) for state in states]
    return {"t": "slices", "image": image, "rev": rev, "slices": listed, "known": known}


# prompts


def mask(
    seq: int,
    *,
    model: str,
    ms: float,
    why: str,
    saw: list[str],
    candidates: list[Message],
    volume: Message | None = None,
) -> Message:
    said = {"model": model, "ms": ms, "why": why, "saw": saw}
    return {"t": "mask", "seq": seq, **said, "candidates": candidates, **_given(volume=volume)}


def mended(
    seq: int, image: int, prediction: int, box: Region, *, voxels: int, slices: int, ms: float
) -> Message:
    told = {"image": image, "prediction": prediction, "box": list(box)}
    return {"t": "mended", "seq": seq, **told, "voxels": voxels, "slices": slices, "ms": ms}


def model(name: str, *, answering: str, why: str, volumes: bool) -> Message:
    """`volumes`: the chosen one answers for whole volumes, by prompts on several slices."""
    return {"t": "model", "name": name, "answering": answering, "why": why, "volumes": volumes}


# the project


def project() -> Message:
    return {"t": "project"}


def image_changed(image: int, by: str, *, gone: bool, became: int | None = None) -> Message:
    """`became`: the image that stands for one that is gone."""
    return {"t": "image", "image": image, "by": by, "gone": gone, **_given(became=became)}


def mark(image: int, mark: str, on: bool, by: str) -> Message:
    return {"t": "mark", "image": image, "mark": mark, "on": on, "by": by}


def presence(image: int, users: list[str]) -> Message:
    return {"t": "presence", "image": image, "users": users}


def job(
    id: str,
    *,
    kind: str,
    phase: str,
    done: int,
    total: int,
    message: str,
    state: JobState,
    refused: Sequence[str] = (),
    model: str | None = None,
    learner: str | None = None,
    url: str | None = None,
    by: str | None = None,
) -> Message:
    """`model`, `learner`: which one a job is about; `by`: who started it."""
    progress = {"phase": phase, "done": done, "total": total, "message": message}
    about = _given(model=model, learner=learner, url=url, by=by)
    return {"t": "job", "id": id, "kind": kind, **progress, "refused": list(refused), "state": state, **about}


# pseudo-labels and learning


def fill(
    image: int,
    state: FillState,
    *,
    producer: str | None = None,
    progress: float | None = None,
    seconds: float | None = None,
    finished: bool | None = None,
    rev: int | None = None,
    prediction: int | None = None,
    message: str | None = None,
) -> Message:
    found = _given(producer=producer, progress=progress, seconds=seconds, finished=finished)
    found |= _given(rev=rev, prediction=prediction, message=message)
    return {"t": "fill", "image": image, "state": state, **found}


def proposal(
    image: int, *, producer: str, round: int, seen: int, expected_dice: list[float] | None, withheld: bool
) -> Message:
    told = {"producer": producer, "round": round, "seen": seen, "expected_dice": expected_dice}
    return {"t": "proposal", "image": image, **told, "withheld": withheld}


def round_status(
    learner: str,
    *,
    title: str,
    state: RoundState,
    round: int | None,
    dice: float | None,
    taught: bool = False,
    behind: bool,
    message: str,
    objects: Sequence[str] = (),
    progress: Message | None = None,
) -> Message:
    """How a learner stands; `progress` while its round runs, `objects` how well it tells them apart,
    `taught` where other slices of the images that judge taught it."""
    told = {"title": title, "state": state, "round": round, "dice": dice, "taught": taught, "behind": behind}
    words = {"message": message, "objects": list(objects)}
    return {"t": "round", "learner": learner, **told, **words, **(progress or {})}


def round_progress(
    begun: bool,
    *,
    phase: str,
    step: int,
    loss: float | None,
    seconds_left: float | None,
    next_images: Sequence[int] = (),
) -> Message:
    """Of a `round` message: where the round is, and which images it will propose for, in this order."""
    where = {"phase": phase, "step": step, "loss": loss, "seconds_left": seconds_left}
    return {"begun": begun, **where, "next_images": list(next_images)}


def queue_changed(learner: str) -> Message:
    return {"t": "queue", "learner": learner}


def queue(ranker: str, *, why: str, items: list[Message]) -> Message:
    """The answer to `GET /api/queue`."""
    return {"t": "queue", "ranker": ranker, "why": why, "items": items}


def _given(**fields: Any) -> Message:
    """Those that are not None: the others are left out of the message."""
    return {name: value for name, value in fields.items() if value is not None}
