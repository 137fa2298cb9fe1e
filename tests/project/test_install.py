"""What pip installs and what a container is built of: nothing of the product is left out."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.project.test_house import PRODUCT, files

DEPLOY = ROOT / "deploy"
BESIDE = {".py", ".js", ".css", ".html", ".svg", ".safetensors", ".md"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built of a copy, because a build leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "requirements.txt", "LICENSE", "app.py"):
        shutil.copy(ROOT / name, source)
    for package in PRODUCT:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import setuptools.build_meta as m; m.build_wheel('.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(source.glob("*.whl")))


def test_a_wheel_holds_every_file_of_the_product(wheel):
    held = set(wheel.namelist())
    ours = {path.relative_to(ROOT).as_posix() for path in files(*PRODUCT, suffixes=BESIDE)}
    assert len(ours) > 400 and not ours - held
    assert not {name for name in held if name.startswith(("tests/", "benchmarks/"))}


def test_it_brings_the_command_and_asks_for_the_pinned_packages(wheel):
    about = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "slicewise = app:main" in wheel.read(about["entry_points.txt"]).decode()
    wanted = re.findall(r"^Requires-Dist: (\S+)$", wheel.read(about["METADATA"]).decode(), re.MULTILINE)
    pins = re.findall(r"^([\w.-]+==\S+)", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    assert wanted == pins and len(pins) > 20


def test_messages_name_the_command_that_people_have(tmp_path):
    program = tmp_path / "slicewise"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r}); import app; sys.exit(app.main())")
    asked = [sys.executable, program, "status", "--project", tmp_path / "none"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 1 and "make one with: slicewise import" in done.stderr


def test_a_container_gets_every_package_and_only_what_is_there():
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert set(PRODUCT) <= names and all((ROOT / name).exists() for name in names)
    kept = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)
    assert set(kept) == names


def test_the_compose_file_starts_a_command_that_the_program_takes():
    import app

    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    options = app.parser().parse_args(services["slicewise"]["command"])
    assert options.https and options.project == Path("/project")
    assert f"slicewise:{options.port}" in (DEPLOY / "Caddyfile").read_text("utf-8")
    assert "ports" not in services["slicewise"], "people come in by the proxy"


@pytest.mark.skipif(shutil.which("caddy") is None, reason="Caddy is not installed")
def test_caddy_takes_its_file():
    asked = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")]
    done = subprocess.run(
        asked, env={"SITE": "scans.example", "HOME": "/tmp"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
