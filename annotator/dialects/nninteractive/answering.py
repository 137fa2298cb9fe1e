"""A drawing answered: the prompt model draws on the slices that were pointed at, the project's fill does the rest."""

from dataclasses import replace

import numpy as np
from anyio.to_thread import run_sync
from numpy.typing import NDArray

from annotator.background import Background
from annotator.dialects.nninteractive.drawing import Drawing
from annotator.dialects.nninteractive.leases import Lease
from annotator.dialects.pointing import masks_of
from annotator.dialects.subjects import Subject
from annotator.filling.asked_fills import FillQuestion
from annotator.labels.commit import Refused
from annotator.workflow import Workflow
from learners.propagate import PropagationCancelled
from learners.propagate.contract import LabelledSlice
from learners.propagate.process import FillFailed
from storage.arrays import BACKGROUND, UNLABELLED, plane

OBJECT = 1


async def answer(workflow: Workflow, lease: Lease, drawing: Drawing) -> Drawing:
    """In a thread, for whoever holds `lease.busy`. Raises Refused, ValueError."""
    if workflow.store.looking or workflow.background is None:
        raise Refused(
            workflow.store.looking or "nothing is proposed here; start the server without --no-fill"
        )
    who = lease.user, lease.work()[0]
    try:
        return await run_sync(answered, workflow, workflow.background, who, drawing)
    except (PropagationCancelled, FillFailed) as error:
        raise Refused(f"the volume could not be filled: {error}", retry=True) from error


def answered(
    workflow: Workflow, background: Background, who: tuple[str, Subject], drawing: Drawing
) -> Drawing:
    """With its mask. Raises Refused, PropagationCancelled, FillFailed, ValueError."""
    drawing = _with_slices(workflow, who[1], drawing)
    drawn = {at: mask for at, mask in drawing.found.items() if mask.any()}
    if not drawn:
        mask = drawing.mask if drawing.before is None else drawing.before
        return replace(drawing, mask=_kept(mask, drawing))
    known = np.full(drawing.shape, UNLABELLED, np.uint8)
    for at, mask in drawn.items():
        plane(known, *at)[...] = mask
    if drawing.against is not None:
        known[drawing.against] = BACKGROUND
    if min(drawing.shape) == 1:  # a picture has nothing to fill
        return replace(drawing, mask=_kept(known == OBJECT, drawing))
    slices = tuple(LabelledSlice(*at, True, (OBJECT,)) for at in drawn)
    before = None if drawing.before is None else drawing.before.astype(np.uint8)
    mask, seconds = _filled(background, who, (known, before, slices))
    return replace(drawing, mask=_kept(mask, drawing), ms=drawing.ms + 1000 * seconds)


def _with_slices(workflow: Workflow, subject: Subject, drawing: Drawing) -> Drawing:
    """The model sees only what is new."""
    new = drawing.unasked
    answers = masks_of(workflow, subject, [drawing.prompts[at] for at in new])
    found = dict(drawing.found)
    for at, answer in zip(new, answers, strict=True):
        lasso = drawing.lassos.get(at)
        found[at] = answer.mask if lasso is None else answer.mask & lasso
    return replace(drawing, found=found, ms=max((answer.ms for answer in answers), default=0.0))


def _filled(
    background: Background,
    who: tuple[str, Subject],
    begun: tuple[NDArray[np.uint8], NDArray[np.uint8] | None, tuple[LabelledSlice, ...]],
) -> tuple[NDArray[np.bool_], float]:
    """The mask, and the seconds that it took."""
    user, subject = who
    known, before, slices = begun
    question = FillQuestion(
        asker=f"{user} {subject.path.name}",
        pixels=subject.path,
        known=known,
        slices=slices,
        spacing_mm=subject.spacing_mm,
        window=subject.window,
        before=before,
    )
    classes, seconds = background.asked.fill(background.fills.propagator, question)
    return classes == OBJECT, seconds


def _kept(mask: NDArray[np.bool_], drawing: Drawing) -> NDArray[np.bool_]:
    return mask if drawing.against is None else mask & ~drawing.against
