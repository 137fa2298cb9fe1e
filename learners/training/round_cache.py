"""The arrays that the rounds of a project keep of pixels, so that the next round need not make them again."""

from learners.spec import RoundSpec
from storage.array_cache import ArrayCache

ABANDONED_SECONDS = 3600.0  # nobody writes a file for so long


def round_cache(spec: RoundSpec) -> ArrayCache:
    """What rounds keep in the project of pixels; of a round without a project, in its own folder."""
    folder = spec.cache or spec.directory / "seen"
    return ArrayCache(folder, spec.cache_bytes, abandoned_seconds=ABANDONED_SECONDS)
