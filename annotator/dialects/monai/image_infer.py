"""What the clients ask about an image: clicks, boxes and strokes, and what learners propose."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, Response

from annotator.dialects.label_maps import as_values, known_and_proposed, names_in
from annotator.dialects.monai.asked import asked_of, strokes_of
from annotator.dialects.monai.desk import Desk
from annotator.dialects.monai.forms import download, file_of, form_of, on_disk, params_of, reply
from annotator.dialects.monai.models import SCRIBBLES, SLICE, VOLUME, models_of
from annotator.dialects.pointing import FoundMask
from annotator.dialects.subjects import Subject, image_of, key_of, label_names, subject_of
from annotator.dialects.volume_masks import mask_by_clicks, mask_by_strokes
from annotator.exchange.writers.slicer import nrrd
from annotator.labels.commit import Refused
from annotator.web.context import person
from learners.propagate import PropagationCancelled
from storage import formats
from storage.formats import FileRefused, lay_on
from storage.formats.nifti import packed_labels
from storage.formats.packed import QUICK

WAIT_SECONDS, POLL_SECONDS = 60.0, 0.2
NIFTI, NRRD = ".nii.gz", ".nrrd"


@dataclass(frozen=True)
class _Ask:
    """One question."""

    user: str
    model: str
    name: str  # of the answer's file, without its ending
    subject: Subject
    params: dict[str, Any]
    form: FormData


@dataclass(frozen=True)
class _Answer:
    values: NDArray[np.uint8]  # (Z, Y, X)
    names: dict[str, int]
    ms: float = 0.0  # that models took


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/infer")

    @router.post("/{model}")
    async def infer(
        request: Request, model: str, image: str = "", session_id: str = "", output: str = ""
    ) -> Response:
        began = time.perf_counter()
        form = await form_of(request)
        ask = await run_sync(_ask, desk, (person(request), model, image, session_id), form)
        work = INFER.get(model, _proposed)
        answer = await work(desk, ask)
        content = await run_sync(_packed, ask, answer)
        ms = round((time.perf_counter() - began) * 1000, 1)
        about = {"label_names": answer.names, "latencies": {"infer": round(answer.ms, 1), "total": ms}}
        if output == "json":
            return JSONResponse(about)
        filename = f"{ask.name}{_ending(ask)}"
        return download(filename, content) if output == "image" else reply(about, filename, content)

    return router


def _ask(desk: Desk, what: tuple[str, str, str, str], form: FormData) -> _Ask:
    """Raises LookupError for an unknown model, image or session."""
    user, model, image, session = what
    if model not in models_of(desk):
        raise LookupError(f"there is no model {model[:80]!r}; ask for the list anew")
    if session:
        lent = desk.lent.get(user, session)
        return _Ask(user, model, lent.id, lent.subject, params_of(form), form)
    if file_of(form, "file") is not None:
        raise Refused("an image that is not in the project is sent as a session first")
    row = image_of(desk.context.workflow.store, image)
    return _Ask(user, model, key_of(row), subject_of(row), params_of(form), form)


async def _clicked(desk: Desk, ask: _Ask) -> _Answer:
    asked = asked_of(ask.params, ask.subject, flat=ask.model == SLICE)
    flat = ask.model == SLICE or ask.subject.shape[0] == 1

    def work() -> FoundMask:
        return mask_by_clicks(
            desk.context.workflow, desk.background, (ask.user, ask.subject), asked, flat=flat
        )

    return _of_object(asked.label, await _told(work))


async def _scribbled(desk: Desk, ask: _Ask) -> _Answer:
    upload = file_of(ask.form, "label")
    if upload is None:
        raise ValueError("no strokes came along; send them in the field label")

    def work() -> FoundMask:
        with on_disk(upload, desk.context.exports) as path:
            try:
                values, own = formats.read_labels(path)
                values = lay_on(values, own, ask.subject.grid)
            except FileRefused as refusal:
                raise ValueError(f"the strokes cannot be read: {refusal}") from None
        strokes = strokes_of(ask.params, values, names_in(ask.params.get("label_info")))
        return mask_by_strokes(desk.context.workflow, desk.background, (ask.user, ask.subject), strokes)

    label = str(ask.params.get("selected_label_name") or "object")
    return _of_object(label, await _told(work))


def _of_object(label: str, found: FoundMask) -> _Answer:
    return _Answer(found.mask.view(np.uint8), {label: 1}, found.ms)


async def _told(work: Callable[[], FoundMask]) -> FoundMask:
    try:
        return await run_sync(work)
    except PropagationCancelled:
        raise Refused("you asked anew before this was answered; the newer question is answered") from None


async def _proposed(desk: Desk, ask: _Ask) -> _Answer:
    """Of the newest learner, or of the one that is asked for; waits a while for one that is at work."""
    workflow, store = desk.context.workflow, desk.context.workflow.store
    if ask.subject.image_id is None:
        raise Refused("learners propose for images of the project; send it to the project first")
    row = store.image(ask.subject.image_id)
    producer = None if ask.model == "proposed" else ask.model
    if store.predictions.newest(row.id, producer) is None:
        await _predicted(desk, row.id, producer)
    rev = store.newest_label(row.id)  # before the labels are read
    classes = await run_sync(known_and_proposed, workflow, row, producer)
    await run_sync(desk.note_shown, ask.user, row.id, rev, classes)
    rows = store.classes()
    return _Answer(as_values(classes, rows), label_names(rows))


async def _predicted(desk: Desk, image_id: int, producer: str | None) -> None:
    """Have it predicted next, where a learner has a model, and wait for it."""
    scheduler, store = desk.background.scheduler, desk.context.workflow.store
    learner = producer or next((n for n in scheduler.active if scheduler.rounds.newest(n, "done")), None)
    if learner is None or scheduler.off:
        return
    scheduler.look(image_id)
    await run_sync(scheduler.propose, learner)
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        if store.predictions.newest(image_id, producer) or store.predictions.withheld(image_id):
            return
        await anyio.sleep(POLL_SECONDS)
    raise Refused("this image is being predicted; ask again in a minute", retry=True)


INFER: dict[str, Callable[[Desk, _Ask], Awaitable[_Answer]]] = {
    SLICE: _clicked,
    VOLUME: _clicked,
    SCRIBBLES: _scribbled,
}


def _ending(ask: _Ask) -> str:
    return NIFTI if ask.params.get("result_extension") == NIFTI else NRRD


def _packed(ask: _Ask, answer: _Answer) -> bytes:
    if _ending(ask) == NIFTI:
        return packed_labels(answer.values, ask.subject.grid, QUICK)
    level = 0 if ask.params.get("result_compress") is False else QUICK
    return nrrd(answer.values, ask.subject.grid, {}, level)
