"""The routes of the dialect. Label Studio waits a second for a connection and for `health`, also while we train."""

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from annotator.dialects.label_maps import known_and_proposed, note_seen
from annotator.dialects.labelstudio.config import BOX, BRUSH, Control, control_of, controls_in
from annotator.dialects.labelstudio.regions import classes_in, drawn, prompts_in
from annotator.dialects.labelstudio.tasks import NamedImages, Task
from annotator.dialects.pointing import masks_of
from annotator.exchange.masks.value_names import clean_name
from annotator.labels.commit import Refused
from annotator.labels.submitting import Submission
from annotator.protocol import outgoing
from annotator.web.context import AppContext, person
from storage.arrays import MAX_CLASS

UP = {"status": "UP", "model_class": "Slicewise"}
PROMPTED = "prompt model"
SAVED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
MOST_TASKS = 1000  # in one question


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    @router.get("/health")
    async def health() -> Any:
        return UP

    @router.post("/setup")
    async def setup(request: Request) -> Any:
        controls_in((await _json(request)).get("schema"))
        return {"model_version": await run_sync(_version, context)}

    @router.get("/versions")
    async def versions() -> Any:
        return {"versions": [await run_sync(_version, context)]}

    @router.post("/validate")
    async def validate(request: Request) -> Any:
        controls_in((await _json(request)).get("config"))
        return {"status": "ok"}

    @router.post("/predict")
    async def predict(request: Request) -> Any:
        return await run_sync(_predict, context, person(request), await _json(request))

    @router.post("/webhook")
    async def webhook(request: Request) -> Response:
        return JSONResponse(await _hear(context, person(request), await _json(request)), 201)

    for path in (
        "/job_status",
        "/duplicate_model",
        "/delete",
    ):  # nothing is kept for a project of Label Studio
        router.add_api_route(path, _nothing, methods=["POST"])
    return router


async def _nothing() -> Any:
    return {}


async def _json(request: Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except (ValueError, RecursionError) as error:
        raise ValueError("the request is no JSON; is this Label Studio?") from error
    if not isinstance(found, dict):
        raise ValueError("the request is no JSON object; is this Label Studio?")
    return found


def _version(context: AppContext) -> str:
    """Changes with every round, so that Label Studio knows its predictions are old."""
    newest = context.workflow.store.rounds.newest_done()
    return f"round {newest}" if newest else PROMPTED


def _predict(context: AppContext, user: str, said: dict[str, Any]) -> dict[str, Any]:
    """An answer a task, empty where there is nothing to show. A single task that cannot be answered is refused in
    words, which Label Studio shows."""
    controls, tasks = controls_in(said.get("label_config")), said.get("tasks")
    if not isinstance(tasks, list) or len(tasks) > MOST_TASKS:
        raise ValueError(f"tasks is a list of at most {MOST_TASKS}")
    params = said.get("params")
    asked = params.get("context") if isinstance(params, dict) else None
    pointed = asked.get("result") if isinstance(asked, dict) else None
    store = context.workflow.store
    images, shown = NamedImages(store), _Shown(_version(context), {})
    answers = []
    for told in tasks:
        try:
            task = images.task(told if isinstance(told, dict) else {}, controls)
            answer = (
                _pointed(context, task, controls, pointed)
                if pointed
                else _proposed(context, task, controls, shown)
            )
        except LookupError:
            if len(tasks) == 1:
                raise
            answer = {"result": [], "score": 0.0, "model_version": PROMPTED}
        answers.append(answer)
    note_seen(store, user, shown.revs)
    return {"results": answers}


@dataclass(frozen=True)
class _Shown:
    """What one question of many tasks is answered with."""

    version: str
    revs: dict[int, int]  # image -> the event up to which its labels go out


def _pointed(context: AppContext, task: Task, controls: tuple[Control, ...], pointed: Any) -> dict[str, Any]:
    brush = control_of(controls, BRUSH)
    if brush is None:
        raise ValueError(
            "a click is answered with a brush mask; add BrushLabels to the labelling configuration"
        )
    label, prompts = prompts_in(pointed, task.size)
    mask = masks_of(context.workflow, task.subject, [prompts])[0].mask
    regions = drawn(brush, label, mask, 1.0) if mask.any() else []
    return {"result": regions, "score": 1.0 if regions else 0.0, "model_version": PROMPTED}


def _proposed(
    context: AppContext, task: Task, controls: tuple[Control, ...], shown: _Shown
) -> dict[str, Any]:
    workflow, row = context.workflow, task.row
    control = control_of(controls, BRUSH) or control_of(controls, BOX)
    rev = workflow.store.newest_label(row.id)  # before the labels are read
    try:
        classes = known_and_proposed(workflow, row)[0]
    except LookupError:  # nothing is known of it yet, which is no fault
        return {"result": [], "score": 0.0, "model_version": shown.version}
    shown.revs[row.id] = rev
    newest = workflow.store.predictions.newest(row.id)
    score = newest.expected.dice if newest and newest.expected else 0.0
    found = [] if control is None else _regions_of(workflow.store.classes(), control, classes, score)
    return {"result": found, "score": score, "model_version": shown.version}


def _regions_of(
    rows: Any, control: Control, classes: NDArray[np.uint8], score: float
) -> list[dict[str, Any]]:
    """Of every class that the configuration has a label for."""
    labels = {clean_name(label): label for label in control.labels}
    masks = [(labels[row.name], classes == row.id) for row in rows if row.name in labels]
    return [region for label, mask in masks if mask.any() for region in drawn(control, label, mask, score)]


async def _hear(context: AppContext, user: str, said: dict[str, Any]) -> dict[str, Any]:
    action = said.get("action")
    if action == "START_TRAINING":
        background = context.workflow.background
        if background is None or background.scheduler.off:
            raise Refused(background.scheduler.off if background else "nothing is trained here")
        await run_sync(background.scheduler.update_now, background.scheduler.active[0])
        return {"training": background.scheduler.active[0]}
    if action not in SAVED:
        return {}
    return await _save(context, user, said)


async def _save(context: AppContext, user: str, said: dict[str, Any]) -> dict[str, Any]:
    """An annotation as a label of whoever's token it came with."""
    workflow = context.workflow
    project, annotation, told = (_object(said, name) for name in ("project", "annotation", "task"))
    controls = controls_in(project.get("label_config"))
    task = await run_sync(lambda: NamedImages(workflow.store).task(told, controls))
    regions = await run_sync(classes_in, annotation.get("result"), task.size)
    if not regions:
        return {"slices": 0}
    async with context.committing:
        names = {clean_name(name) for name, _ in regions}
        missing = sorted(names - {row.name for row in workflow.store.classes()})
        if "" in names or len(workflow.store.classes()) + len(missing) > MAX_CLASS:
            raise ValueError(f"a label needs a name, and a project holds {MAX_CLASS} classes")
        for name in missing:
            await run_sync(workflow.edit_classes, user, {"op": "add", "name": name})
        submission = _submission(context, (user, task, annotation), regions)
        outcome = await run_sync(workflow.submit, user, submission)
        context.hub.tell(outcome)
    if missing:
        context.hub.broadcast(outgoing.project())
    return {key: outcome.ack[key] for key in ("slices", "conflict") if outcome.ack.get(key) is not None}


def _object(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"the webhook sends no {name}; switch “send payload” on for it in Label Studio")
    return found


def _submission(
    context: AppContext, what: tuple[str, Task, dict[str, Any]], regions: list[tuple[str, NDArray[np.bool_]]]
) -> Submission:
    user, task, annotation = what
    store = context.workflow.store
    ids = {row.name: row.id for row in store.classes()}
    classes = np.zeros(task.row.shape, np.uint8)
    for name, mask in regions:
        classes[0][mask] = ids[clean_name(name)]
    note = {
        "tool": "Label Studio",
        "annotation": annotation.get("id"),
        "by": str(annotation.get("completed_by"))[:200],
    }
    seen = store.tool_notes.seen(user, task.row.id)
    return Submission(secrets.token_hex(12), task.row, 0, classes, seen, note=note)
