"""A JSON file of labels, read once whoever asks."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.formats import FileRefused

MOST_BYTES = 512 << 20  # COCO's own largest file is smaller


def content_of(path: Path) -> Any:
    """Raises FileRefused."""
    stat = path.stat()
    if stat.st_size > MOST_BYTES:
        raise FileRefused(f"it is larger than {MOST_BYTES >> 20} MB; split it")
    return _content(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _content(path: Path, changed: int, size: int) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        raise FileRefused("it is not UTF-8; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise FileRefused(f"it is not JSON (line {error.lineno}); mend it") from None
    except RecursionError:
        raise FileRefused("it is nested deeper than any such file is; mend it") from None
