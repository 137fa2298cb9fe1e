"""What people are told where a fill or a redrawing failed."""

import logging

from annotator.protocol.outgoing import Message
from annotator.text import error_sentence
from learners.propagate.process import FillFailed
from storage.arrays import TornFile
from storage.database import StorageFull

log = logging.getLogger(__name__)

FORESEEN = (FillFailed, StorageFull, TornFile, OSError, ValueError, LookupError)


def failed(error: Exception) -> Message:
    """A sentence; what nobody foresaw is in the log with its traceback."""
    if isinstance(error, FORESEEN):
        return {"state": "failed", "message": error_sentence(error)}
    log.error("a fill failed", exc_info=error)
    return {"state": "failed", "message": "The fill failed; see the server's log."}
