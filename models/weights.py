"""Checkpoints that can be downloaded: where from, how large, with which checksum, and the download itself.

Settings, all from the environment: `SLICEWISE_WEIGHTS` is the folder where checkpoints are kept and looked for,
`SLICEWISE_MIRROR` a folder or an address that is asked instead of the internet, and the usual `HTTPS_PROXY`,
`HTTP_PROXY` and `NO_PROXY`.
"""

import errno
import hashlib
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

CHUNK = 1 << 20
TIMEOUT_SECONDS = 30.0

DownloadProgress = Callable[
    [int, int], None
]  # bytes so far, bytes in all; raise in it to stop: what arrived is kept


class DownloadFailed(OSError):
    """One sentence that says what is wrong and how to mend it."""


@dataclass(frozen=True)
class Weights:
    """One checkpoint as its authors publish it."""

    file: str  # the name it is kept under
    url: str
    licence: str
    size: int | None = None  # bytes
    sha256: str | None = None
    git_blob: str | None = None  # sha1 by which git names the same bytes
    source: str = ""  # where a person gets it by hand, for what has no direct address


META = "https://dl.fbaipublicfiles.com/segment_anything"
GITHUB = "https://raw.githubusercontent.com"
APACHE = "Apache-2.0"

CATALOGUE: dict[str, Weights] = {
    "mobile_sam": Weights(
        "mobile_sam.pt",
        f"{GITHUB}/ChaoningZhang/MobileSAM/34bbbfdface3c18e5221aa7de6032d7220c6c6a1/weights/mobile_sam.pt",
        APACHE,
        40728226,
        "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        "7ef2d090979fd9853adf17b7a99c8b94a1c5a6a7",
    ),
    "sam_vit_b": Weights(
        "sam_vit_b_01ec64.pth",
        f"{META}/sam_vit_b_01ec64.pth",
        APACHE,
        375042383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "sam_vit_l": Weights(
        "sam_vit_l_0b3195.pth",
        f"{META}/sam_vit_l_0b3195.pth",
        APACHE,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "sam_vit_h": Weights(
        "sam_vit_h_4b8939.pth",
        f"{META}/sam_vit_h_4b8939.pth",
        APACHE,
        2564550879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "medsam": Weights(
        "medsam_vit_b.pth", "", APACHE, source="the MedSAM project's page (github.com/bowang-lab/MedSAM)"
    ),
    "microsam_vit_b_lm": Weights(
        "microsam_vit_b_lm.pt",
        "",
        "see its bioimage.io record",
        source="bioimage.io, model diplomatic-bug 1.2",
    ),
    "sam2.1_tiny": Weights(
        "sam2.1-hiera-tiny",
        "",
        APACHE,
        source="huggingface.co/facebook/sam2.1-hiera-tiny (config.json, model.safetensors in a folder so named)",
    ),
    "edgetam": Weights(
        "EdgeTAM",
        "",
        APACHE,
        source="huggingface.co/facebook/EdgeTAM (config.json, model.safetensors in a folder so named)",
    ),
}


def weights_folder() -> Path:
    """Where checkpoints are kept; the same for every project of this person."""
    given = os.environ.get("SLICEWISE_WEIGHTS")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "slicewise" / "weights"
        )
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "slicewise" / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "slicewise" / "weights"


def find(weights: Weights, folder: Path | None = None) -> Path | None:
    """The checkpoint on this machine, whole by its size; its checksum was compared when it was downloaded.

    SAM 2 is a folder of files.
    """
    path = (folder or weights_folder()) / weights.file
    if (path / "model.safetensors").is_file():
        return path
    if not path.is_file() or (weights.size is not None and path.stat().st_size != weights.size):
        return None
    return path


def arrived(weights: Weights, folder: Path | None = None) -> int:
    """Bytes of an unfinished download, which the next one continues."""
    part = (folder or weights_folder()) / (weights.file + ".part")
    return part.stat().st_size if part.is_file() else 0


def decline(weights: Weights, folder: Path | None = None) -> None:
    """Remember that somebody stopped this download; `fetch` forgets it."""
    folder = folder or weights_folder()
    with suppress(OSError):  # a folder that cannot be written: asked again next time
        folder.mkdir(parents=True, exist_ok=True)
        _declined(weights, folder).touch()


def declined(weights: Weights, folder: Path | None = None) -> bool:
    return _declined(weights, folder or weights_folder()).exists()


def _declined(weights: Weights, folder: Path) -> Path:
    return folder / (weights.file + ".declined")


def fetch(weights: Weights, progress: DownloadProgress, folder: Path | None = None) -> Path:
    """The checkpoint, downloaded if it is not here; continues what an earlier call left unfinished.

    Raises DownloadFailed with a sentence for the page, or Cancelled when `progress` raises it.
    """
    folder = folder or weights_folder()
    here = find(weights, folder)
    if here is not None:
        return here
    if not weights.url:
        raise DownloadFailed(
            f"{weights.file} has no direct address: get it from {weights.source} and put it into {folder}"
        )
    with plain_errors(weights, folder):
        folder.mkdir(parents=True, exist_ok=True)
        _declined(weights, folder).unlink(missing_ok=True)
        part = folder / (weights.file + ".part")
        receive(weights, part, progress)
        check(weights, part)
        os.replace(part, folder / weights.file)
    return folder / weights.file


@contextmanager
def plain_errors(weights: Weights, folder: Path) -> Iterator[None]:
    """What the network, the server and the disk say, in one sentence each."""
    by_hand = f"or put {weights.file} into {folder} yourself"
    try:
        yield
    except DownloadFailed:
        raise
    except urllib.error.HTTPError as error:
        raise DownloadFailed(
            f"the server answered {error.code} for {weights.file}; try again later, {by_hand}"
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if urllib.request.getproxies().get("https", "").lower().startswith("socks"):
            reason = "HTTPS_PROXY names a SOCKS proxy, which downloads here do not speak; name an http:// one"
        raise DownloadFailed(
            f"{weights.file} cannot be fetched ({reason}): check the connection, "
            f"set HTTPS_PROXY or SLICEWISE_MIRROR, {by_hand}"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise DownloadFailed(
                f"the disk is full: free {megabytes(weights.size)} for {weights.file} in {folder}, "
                "or set SLICEWISE_WEIGHTS"
            ) from error
        raise DownloadFailed(
            f"{weights.file} cannot be written to {folder} ({error.strerror or error})"
        ) from error


def megabytes(size: int | None) -> str:
    return "some space" if size is None else f"{max(1, round(size / 1e6))} MB"


def address_of(weights: Weights) -> str:
    """The address of the file: the mirror's where one is set."""
    mirror = os.environ.get("SLICEWISE_MIRROR", "").strip()
    if not mirror:
        return weights.url
    if mirror.startswith(("http://", "https://")):
        return mirror.rstrip("/") + "/" + weights.file
    return str(Path(mirror).expanduser() / weights.file)


def receive(weights: Weights, part: Path, progress: DownloadProgress) -> None:
    """Bring `part` to its full length, from where it ends."""
    address = address_of(weights)
    start = part.stat().st_size if part.exists() else 0
    if weights.size is not None and start > weights.size:
        part.unlink()
        start = 0
    if start and start == weights.size:
        return
    if not address.startswith(("http://", "https://")):
        copy_from_folder(Path(address), weights, part, progress)
        return
    make_room(weights, part.parent, start)
    try:
        stream(weights, address, part, progress)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the part is as long as the file, or longer
            raise
        part.unlink(missing_ok=True)
        stream(weights, address, part, progress)


def make_room(weights: Weights, folder: Path, have: int) -> None:
    """Refuse before the download rather than at its end."""
    if weights.size is not None and shutil.disk_usage(folder).free < weights.size - have:
        raise OSError(errno.ENOSPC, "no space left on device")


def stream(weights: Weights, address: str, part: Path, progress: DownloadProgress) -> None:
    """One request; a server that cannot continue a download starts again."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "slicewise", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    opener = urllib.request.build_opener()  # a new one reads the proxy settings as they are now
    with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
        continued = answer.status == 206
        have = have if continued else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else weights.size or 0
        refuse_other_file(weights, answer.headers.get_content_type(), total)
        with open(part, "ab" if continued else "wb") as file:
            have = pour(answer, file, have, total, progress)
    if have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes; try again to continue")


def refuse_other_file(weights: Weights, kind: str, total: int) -> None:
    """A sign-in page of a hotel or a company is not a checkpoint."""
    if kind == "text/html":
        raise DownloadFailed(
            f"a web page came instead of {weights.file}: sign in to the network or set SLICEWISE_MIRROR, then try again"
        )
    if weights.size is not None and total and total != weights.size:
        raise DownloadFailed(
            f"the server offers {total} bytes for {weights.file}, expected are {weights.size}; try another mirror"
        )


def pour(source: IO[bytes], file: IO[bytes], have: int, total: int, progress: DownloadProgress) -> int:
    """Copy in chunks, reporting each; the number of bytes there are then."""
    progress(have, total)
    while chunk := source.read(CHUNK):
        file.write(chunk)
        have += len(chunk)
        progress(have, total)
    file.flush()
    os.fsync(file.fileno())
    return have


def copy_from_folder(source: Path, weights: Weights, part: Path, progress: DownloadProgress) -> None:
    """From a mirror that is a folder."""
    if not source.is_file():
        raise DownloadFailed(
            f"the mirror folder has no {weights.file}; put it there or unset SLICEWISE_MIRROR"
        )
    make_room(weights, part.parent, 0)
    with open(source, "rb") as original, open(part, "wb") as file:
        pour(original, file, 0, source.stat().st_size, progress)


def check(weights: Weights, part: Path) -> None:
    """Compare length and checksum; what is wrong is removed, so that the next try starts clean."""
    size = part.stat().st_size
    good = weights.size is None or size == weights.size
    if good and weights.sha256 is not None:
        with open(part, "rb") as file:
            good = hashlib.file_digest(file, "sha256").hexdigest() == weights.sha256
    elif good and weights.git_blob is not None:
        good = git_blob(part) == weights.git_blob
    if not good:
        part.unlink()
        raise DownloadFailed(f"{weights.file} arrived damaged (its checksum differs); download it again")


def git_blob(path: Path) -> str:
    """The sha1 by which git names these bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
