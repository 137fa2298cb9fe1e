"""What a person is told about an error: one sentence, a status, and whether trying again can help."""

import errno
import logging
from dataclasses import dataclass

from annotator.jobs import Busy
from annotator.labels.commit import Refused
from annotator.protocol.frames import BadFrame
from annotator.text import FULL, sentence
from models.weights import DownloadFailed
from storage.arrays import TornFile
from storage.database import ProjectUnwritable, StorageBusy, StorageFull, is_full

log = logging.getLogger(__name__)

PASSING = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}


class AdministratorsOnly(Exception):
    """Somebody asks for what is not for everybody."""


@dataclass(frozen=True)
class ErrorReply:
    line: str
    status: int  # for HTTP
    retry: bool = False  # waiting helps: the same request may succeed later


def describe_error(error: BaseException) -> ErrorReply:
    """Errors that nobody foresaw are logged with their traceback."""
    if isinstance(error, Refused):
        return ErrorReply(sentence(error.message), 503 if error.retry else 409, error.retry)
    if isinstance(error, StorageFull) or is_full(error):
        return ErrorReply(sentence(FULL), 507, retry=True)
    if isinstance(error, ProjectUnwritable):
        return ErrorReply(sentence(str(error)), 409)
    if isinstance(error, StorageBusy):
        return ErrorReply(sentence(str(error)), 503, retry=True)
    if isinstance(error, TornFile):
        return ErrorReply(sentence(str(error)), 500)
    if isinstance(error, DownloadFailed):
        return ErrorReply(sentence(str(error)), 502, retry=True)
    if isinstance(error, AdministratorsOnly):
        return ErrorReply(sentence(str(error)), 403)
    if isinstance(error, Busy):
        return ErrorReply(str(error), 409, retry=True)
    if type(error) is LookupError:
        return ErrorReply(sentence(str(error)), 404)
    if type(error) in (ValueError, BadFrame):
        return ErrorReply(sentence(str(error)), 400)
    return _unforeseen(error)


def _unforeseen(error: BaseException) -> ErrorReply:
    log.error("an error nobody expected", exc_info=error)
    error.logged = True  # type: ignore[attr-defined]
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        line = f"A file of the project cannot be used ({reason}); check the disk and try again."
        return ErrorReply(line, 500, retry=error.errno in PASSING)
    line = f"Something went wrong here ({type(error).__name__}); the server's log says more."
    return ErrorReply(line, 500, retry=isinstance(error, MemoryError))
