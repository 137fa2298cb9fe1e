"""Labels as the clients fetch and save them. What is saved becomes label events of whoever saves it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.datastructures import FormData
from starlette.responses import Response

from annotator.dialects.label_maps import LabelMap, as_classes, as_values, known_and_proposed, read_map
from annotator.dialects.monai.desk import Desk
from annotator.dialects.monai.forms import download, file_of, form_of, on_disk, params_of
from annotator.dialects.monai.reviews import take_review, told_review
from annotator.dialects.subjects import image_of, key_of, label_names, subject_of
from annotator.labels.commit import Outcome
from annotator.labels.submitting import Submission
from annotator.protocol import outgoing
from annotator.protocol.incoming import ClearMessage
from annotator.web.context import person
from storage.arrays import UNLABELLED
from storage.events.tool_notes import ToolNote
from storage.fold import fold
from storage.formats.nifti import packed_labels
from storage.formats.packed import QUICK
from storage.rows import ImageRow

FINAL, ORIGINAL = "final", "original"  # what people said; and that with proposals where nobody did
EXTENSION, LONGEST_TAG = ".nii.gz", 60


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/datastore")
    _add_fetching(router, desk)
    _add_saving(router, desk)
    _add_notes(router, desk)
    return router


def _add_fetching(router: APIRouter, desk: Desk) -> None:
    store = desk.context.workflow.store

    @router.head("/label")
    async def there(tag: str, label: str = "", image: str = "") -> Response:
        await run_sync(_label, desk, image_of(store, label or image), tag)
        return Response()

    @router.get("/label")
    async def fetch(request: Request, label: str, tag: str) -> Response:
        row, user = image_of(store, label), person(request)

        def work() -> bytes:
            rev = store.newest_label(row.id)  # before the labels are read
            classes = _label(desk, row, tag)
            desk.note_shown(user, row.id, rev, classes)
            return packed_labels(as_values(classes, store.classes()), subject_of(row).grid, QUICK)

        content = await run_sync(work, limiter=desk.context.reading)
        return download(f"{key_of(row)}{EXTENSION}", content)


def _label(desk: Desk, row: ImageRow, tag: str) -> NDArray[np.uint8]:
    """(Z, Y, X) classes. Raises LookupError where there is no such label."""
    workflow = desk.context.workflow
    if tag == ORIGINAL:
        return known_and_proposed(workflow, row)
    note = workflow.store.tool_notes.of(row.id).get(tag)
    labels = workflow.store.labels(row.id)
    if tag != FINAL and note is None or not labels:
        raise LookupError(f"{row.name!r} has no label {tag[:LONGEST_TAG]!r}; save one first")
    if tag == FINAL or note is None:
        with workflow.folds.lock:
            known = workflow.folds.get(row.id).known()
    else:  # as it was then, but for what was taken back since
        known = fold(row.shape, [one for one in labels if one.id <= note.rev]).known()
    return np.where(known == UNLABELLED, np.uint8(0), known)


@dataclass(frozen=True)
class _Saved:
    """A label that somebody saves."""

    user: str
    row: ImageRow
    tag: str
    params: Mapping[str, Any]
    map: LabelMap


def _add_saving(router: APIRouter, desk: Desk) -> None:
    context = desk.context

    @router.put("/label")
    async def save(request: Request, image: str, tag: str = "") -> Any:
        form, row = await form_of(request), image_of(context.workflow.store, image)
        saved = await run_sync(_read, desk, (person(request), row, tag or FINAL), form)
        if saved.map.new:
            await _add_classes(desk, saved)
        async with context.committing:
            outcome = await run_sync(_submit, desk, saved)
            context.hub.tell(outcome)
        about = {key: outcome.ack[key] for key in ("slices", "conflict") if outcome.ack.get(key) is not None}
        return {"image": image, "label": key_of(row), **about}

    @router.delete("/label")
    async def remove(request: Request, id: str, tag: str) -> Any:
        store, user = context.workflow.store, person(request)
        row = image_of(store, id)
        if tag == FINAL:
            seen = store.tool_notes.seen(user, row.id)
            message = ClearMessage(t="clear", id=secrets.token_hex(12), image=row.id, base_rev=seen)
            async with context.committing:
                context.hub.tell(await run_sync(context.workflow.commit, user, message, b""))
        elif tag not in store.tool_notes.of(row.id):
            raise LookupError(f"{row.name!r} has no label {tag[:LONGEST_TAG]!r} that could be removed")
        await run_sync(store.tool_notes.remove, row.id, tag)
        return {}


def _read(desk: Desk, who: tuple[str, ImageRow, str], form: FormData) -> _Saved:
    """Raises ValueError with what is wrong with the file or its names."""
    user, row, tag = who
    if len(tag) > LONGEST_TAG or not tag.isprintable() or tag == ORIGINAL:
        raise ValueError(
            f"{tag[:LONGEST_TAG]!r} cannot be the tag of a label that is saved; save it as final"
        )
    upload, params = file_of(form, "label"), params_of(form)
    if upload is None:
        raise ValueError("no label came along; send it in the field label")
    with on_disk(upload, desk.context.exports) as path:
        found = read_map(
            path, subject_of(row), params.get("label_info"), desk.context.workflow.store.classes()
        )
    return _Saved(user, row, tag, params, found)


async def _add_classes(desk: Desk, saved: _Saved) -> None:
    context = desk.context
    async with context.committing:
        for name in saved.map.new:
            await run_sync(context.workflow.edit_classes, saved.user, {"op": "add", "name": name})
    context.hub.broadcast(outgoing.project())


def _submit(desk: Desk, saved: _Saved) -> Outcome:
    workflow, row = desk.context.workflow, saved.row
    subject = subject_of(row)
    outcome = workflow.submit(
        saved.user,
        Submission(
            id=secrets.token_hex(12),
            image=row,
            axis=subject.axis,
            classes=as_classes(saved.map, workflow.store.classes()),
            seen=workflow.store.tool_notes.seen(saved.user, row.id),
            offered=desk.offered(saved.user, row.id, subject.axis),
            note={"tool": "MONAI Label", "tag": saved.tag, **_origin(saved.params)},
        ),
    )
    names = {"params": {"label_names": label_names(workflow.store.classes())}}
    note = ToolNote(saved.tag, outcome.ack["rev"], saved.user, names)
    workflow.store.tool_notes.keep(row.id, note)
    return outcome


def _origin(params: Mapping[str, Any]) -> dict[str, str]:
    """What the tool says of how the label came about."""
    return {key: str(params[key])[:200] for key in ("client_id", "model") if params.get(key)}


def _add_notes(router: APIRouter, desk: Desk) -> None:
    store = desk.context.workflow.store

    @router.get("/label/info")
    async def info(label: str, tag: str) -> Any:
        row = image_of(store, label)
        note = store.tool_notes.of(row.id).get(tag)
        return {**(note.info if note else {}), **await run_sync(told_review, store, row.id, note)}

    async def take(request: Request, label: str, tag: str, field: str) -> Any:
        said = params_of(await form_of(request), field)
        row, user = image_of(store, label), person(request)
        for told in await run_sync(take_review, store, (user, row.id, tag), said):
            desk.context.hub.broadcast(told)
        return {}

    @router.put("/label/info")
    async def note_info(request: Request, label: str, tag: str) -> Any:
        return await take(request, label, tag, "info")

    @router.put("/updatelabelinfo")
    async def note_params(request: Request, label: str, tag: str) -> Any:
        return await take(request, label, tag, "params")
