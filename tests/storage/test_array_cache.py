"""Arrays that can be made again: bounded, the least recently used go first, several processes on one folder."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from storage.array_cache import ArrayCache, Arrays, read_arrays

HOUR = 3600.0


def some(value: int, count: int = 1000) -> Arrays:
    """About `count` bytes."""
    return {"numbers": np.full(count, value, np.uint8)}


def test_what_is_kept_is_not_made_again_also_after_a_restart(tmp_path: Path):
    made: list[int] = []

    def make() -> Arrays:
        made.append(1)
        return some(7)

    for _ in range(2):
        kept = ArrayCache(tmp_path / "seen", 10_000)
        for _ in range(2):
            assert (kept.get_or_make("a", make)["numbers"] == 7).all()
    assert made == [1]


def test_what_was_used_last_stays_within_the_quota_also_across_rounds(tmp_path: Path):
    for number in range(6):
        kept = ArrayCache(tmp_path, 5000, abandoned_seconds=HOUR)
        kept.get_or_make("often", lambda: some(0))
        kept.put(f"once{number}", some(number))
        os.utime(tmp_path / f"once{number}.npz", (number, number))
    left = {path.stem for path in tmp_path.iterdir()}
    assert "often" in left and "once5" in left and "once0" not in left
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5000


def test_a_smaller_quota_holds_at_once_and_counts_files_of_an_older_format(tmp_path: Path):
    np.save(tmp_path / "old.npy", np.zeros(3000, np.uint8))
    os.utime(tmp_path / "old.npy", (1, 1))
    ArrayCache(tmp_path, 10_000).put("new", some(1))
    kept = ArrayCache(tmp_path, 2000)
    assert [path.name for path in tmp_path.iterdir()] == ["new.npz"] and 0 < kept.used_bytes <= 2000


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b.replace(b"\7", b"\6")]
)
def test_torn_and_missing_files_are_made_again(tmp_path: Path, damage):
    kept = ArrayCache(tmp_path, 10_000)
    kept.put("a", some(7))
    path = tmp_path / "a.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert (kept.get_or_make("a", lambda: some(8))["numbers"] == 8).all()
    path.unlink()  # by another process, to keep its quota
    assert (kept.get_or_make("a", lambda: some(9))["numbers"] == 9).all()
    again = read_arrays(path)
    assert again is not None and (again["numbers"] == 9).all()


def test_a_file_that_another_process_is_writing_is_left_alone_until_it_is_old(tmp_path: Path):
    young, old = tmp_path / "a.npz.1.tmp", tmp_path / "b.npz.2.tmp"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * HOUR,) * 2)
    ArrayCache(tmp_path, 1000, abandoned_seconds=HOUR)
    assert list(tmp_path.iterdir()) == [young]
    ArrayCache(tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_only_the_keeping(tmp_path: Path, monkeypatch, caplog):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    kept = ArrayCache(tmp_path, 1000)
    assert (kept.get_or_make("a", lambda: some(3))["numbers"] == 3).all()
    assert kept.used_bytes == 0 and list(tmp_path.iterdir()) == [] and "No space" in caplog.text
