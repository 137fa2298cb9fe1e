"""The lock files hold exactly what the requirements name and need, each with hashes, and name no host."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import start
from tests.conftest import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-ray.txt", "requirements-sam2.txt")
TORCH_ALONE = re.compile(r"torch|torchvision|triton|nvidia-.+|cuda-.+")


@dataclass(frozen=True)
class Locked:
    pin: str
    hashes: list[str]
    needed_by: list[str]  # packages, or "-r FILE"


def locked(name: str) -> dict[str, list[Locked]]:
    """Entries by package; several where platforms or Pythons differ."""
    found: dict[str, list[Locked]] = {}
    text = (ROOT / "locks" / name).read_text(encoding="utf-8")
    for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
        pin = block.split(" ", 1)[0]
        needed = re.findall(r"^    # +(?:via )?(.+)$", block, re.MULTILINE)
        entry = Locked(
            pin, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", block), [n for n in needed if n != "via"]
        )
        found.setdefault(pin.split("==")[0], []).append(entry)
    return found


def named(*files: str) -> set[str]:
    return set().union(*(start.pins(ROOT / file) for file in files))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_every_pin_of_its_requirements(name: str):
    pins = named("requirements.txt", name) - set(start.TORCH)
    assert len(pins) > 25
    assert pins <= start.pins(ROOT / "locks" / name), "a pin changed: run .ci/lock"
    assert start.why_not_locked(name) == ""


@pytest.mark.parametrize("name", [*LOCKS, "torch.txt"])
def test_all_else_in_a_lock_is_needed_by_something_in_it(name: str):
    entries = locked(name)
    asked = {pin.split("==")[0] for pin in named("requirements.txt", name if name in LOCKS else LOCKS[0])}
    roots = {pin.split("==")[0] for pin in start.TORCH} if name == "torch.txt" else asked
    outside = set() if name == "torch.txt" else {"torch", "torchvision"}  # need something, stand in torch.txt
    for package, several in entries.items():
        for entry in several:
            by_hand = any(who.startswith("-r ") for who in entry.needed_by)
            assert by_hand <= (package in roots), f"{package} is not named any more: run .ci/lock"
            if not by_hand:
                needed_by = {
                    re.sub(r"\[.*\]", "", who) for who in entry.needed_by if not who.startswith("-c ")
                }
                assert needed_by & ({*entries} | outside), package


@pytest.mark.parametrize("name", [*LOCKS, "torch.txt"])
def test_every_package_has_hashes_and_no_host_is_named(name: str):
    text = (ROOT / "locks" / name).read_text(encoding="utf-8")
    entries = locked(name)
    assert sum(map(len, entries.values())) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE))
    assert all(entry.hashes for several in entries.values() for entry in several)
    assert not re.search(r"://|index-url|find-links|trusted-host| @ ", text)


def test_pytorch_and_what_its_gpu_builds_bring_stand_in_one_lock_alone():
    assert set(start.TORCH) <= {entry.pin for several in locked("torch.txt").values() for entry in several}
    for name in LOCKS:
        assert not [package for package in locked(name) if TORCH_ALONE.fullmatch(package)]
    shared = {p: e for p, e in locked("torch.txt").items() if not TORCH_ALONE.fullmatch(p)}
    others = locked("requirements.txt")
    assert shared and all(
        {e.pin for e in several} <= {e.pin for e in others[p]} for p, several in shared.items()
    )


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the requirements and locks that `start` reads."""
    for file in ROOT.glob("requirements*.txt"):
        shutil.copy(file, tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    monkeypatch.setattr(start, "ROOT", tmp_path)
    monkeypatch.setattr(start, "LOCKS", tmp_path / "locks")
    monkeypatch.delitem(os.environ, "SLICEWISE_UNHASHED", raising=False)
    return tmp_path


def change_pin(folder: Path) -> None:
    file = folder / "requirements.txt"
    file.write_text(file.read_text().replace("httpx==0.28.1", "httpx==0.28.2"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: None, ""),
        (change_pin, "locks/requirements-dev.txt does not hold httpx==0.28.2"),
        (
            lambda folder: (folder / "locks" / "requirements-dev.txt").unlink(),
            "locks/requirements-dev.txt is missing",
        ),
        (lambda folder: os.environ.update(SLICEWISE_UNHASHED="1"), "SLICEWISE_UNHASHED is set"),
    ],
)
def test_a_lock_that_does_not_fit_is_told_plainly(
    elsewhere: Path, change: Callable[[Path], object], told: str
):
    try:
        change(elsewhere)
        assert start.why_not_locked("requirements-dev.txt") == told
    finally:
        os.environ.pop("SLICEWISE_UNHASHED", None)


def test_set_up_compares_hashes_where_the_lock_fits_and_says_where_it_does_not(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[tuple[str, ...]] = []
    python = elsewhere / "venv" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setattr(start, "VENV", python.parent)
    monkeypatch.setattr(start, "PYTHON", python)
    monkeypatch.setattr(start, "_pip", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(start, "_installed", lambda package, pin: False)
    monkeypatch.setattr(start, "_has_nvidia", lambda: True)
    monkeypatch.setattr(start, "_compile", lambda: None)
    start.set_up("requirements.txt")
    hashed = ("--require-hashes", "--no-deps", "-r")
    assert asked == [(*hashed, str(elsewhere / "locks" / name)) for name in ("requirements.txt", "torch.txt")]
    asked.clear()
    change_pin(elsewhere)
    start.set_up("requirements.txt")
    assert asked == [start.TORCH, ("-r", str(elsewhere / "requirements.txt"))]
    assert "nothing that is fetched is compared with known hashes" in capsys.readouterr().out
