"""Sessions: a tool lends an image for a while, to be asked about and forgotten."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile

from annotator.dialects.monai.desk import Desk
from annotator.dialects.monai.forms import download, form_of, on_disk
from annotator.dialects.monai.lent_images import LentImage
from annotator.web.context import person
from storage.arrays import open_npy
from storage.formats import FileRefused
from storage.formats.nifti import packed_image
from storage.formats.packed import QUICK


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/session")

    @router.put("/")
    async def lend(request: Request, expiry: int = 0) -> Any:
        form = await form_of(request)
        files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
        if len(files) != 1:
            raise ValueError("send one file a session; a series of DICOM files is imported on the page")
        lent = await run_sync(_lent, desk, (person(request), files[0], expiry))
        return {"session_id": lent.id, "session_info": lent.json()}

    @router.get("/{session}")
    async def about(request: Request, session: str, image: bool = False) -> Any:
        lent = desk.lent.get(person(request), session)
        if not image:
            return lent.json()
        subject = lent.subject
        content = await run_sync(lambda: packed_image(open_npy(subject.path), subject.grid, QUICK))
        return download(f"{lent.id}.nii.gz", content)

    @router.delete("/{session}")
    async def end(request: Request, session: str) -> Any:
        return (await run_sync(desk.lent.remove, person(request), session)).json()

    return router


def _lent(desk: Desk, what: tuple[str, UploadFile, int]) -> LentImage:
    user, upload, seconds = what
    with on_disk(upload, desk.context.exports) as path:
        try:
            return desk.lent.add(user, path, max(0, seconds))
        except FileRefused as refusal:
            raise ValueError(f"this image cannot be used: {refusal}") from None
