#!/usr/bin/env python3
"""Set everything up and run Slicewise; or set everything up and pass the tests.

    python3 start.py                          open the app on the demo project
    python3 start.py --example gallery        open it on other pictures that come with it: cells, gallery
    python3 start.py DATA --project FOLDER    open it on your own file or folder
    python3 start.py test [pytest options]    run the tests
    python3 start.py check                    check style and types (.ci/check; needs bash, and Node.js for the page)
    python3 start.py setup [--dev]            only set up; --dev: with what tests and checks need
    python3 start.py COMMAND --help           any other command of app.py: import, export, status, ...

Needs Python 3.11 or newer and nothing else. Safe to run again: what is there is kept.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("SLICEWISE_VENV", ROOT / ".venv"))
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOCKS = ROOT / "locks"  # made by .ci/lock
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of builds without CUDA
TORCH = ("torch==2.13.0", "torchvision==0.28.0")  # the same pins as in requirements.txt
TESTS = r"[/\\]tests?[/\\]"  # folders that nobody imports from
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    if sys.version_info < (3, 11):
        print("Slicewise needs Python 3.11 or newer; this is " + sys.version.split()[0], file=sys.stderr)
        return 2
    arguments = sys.argv[1:]
    if arguments[:1] == ["check"]:
        return subprocess.call(["bash", str(ROOT / ".ci" / "check")])
    testing = arguments[:1] == ["test"]
    developing = arguments == ["setup", "--dev"]
    try:
        set_up("requirements-dev.txt" if testing or developing else "requirements.txt")
        if testing:
            os.environ["CHROMIUM"] = browser()
        if developing:
            node()
    except subprocess.CalledProcessError as error:
        print(
            f"set-up stopped: {' '.join(map(str, error.cmd))} failed; mend it and run this again",
            file=sys.stderr,
        )
        return 1
    if arguments[:1] == ["setup"]:
        print("everything is set up")
        return 0
    if testing:
        options = arguments[1:] or ["-n", "logical", "--dist", "loadfile"]  # tests of a page share its server
        return subprocess.call([str(PYTHON), "-m", "pytest", *options], cwd=ROOT)
    return subprocess.call([str(PYTHON), str(ROOT / "app.py"), *arguments])


def set_up(requirements: str) -> None:
    """A virtual environment with the pinned libraries; nothing to do where a stamp says so."""
    wanted = hashlib.sha256(
        b"".join(
            path.read_bytes() for path in sorted([*ROOT.glob("requirements*.txt"), *LOCKS.glob("*.txt")])
        )
    ).hexdigest()
    stamp = VENV / f"slicewise-{requirements}.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        say(f"1/3 making a virtual environment in {VENV}")
        _make_environment()
    if unlocked := why_not_locked(requirements):
        say(f"{unlocked}; nothing that is fetched is compared with known hashes")
        say("2/3 installing PyTorch in the build that fits this machine")
        _install_torch(locked=False)
        say(f"3/3 installing the other libraries ({requirements}); the first time takes a few minutes")
        _pip("-r", str(ROOT / requirements))
    else:
        say(f"2/3 installing the libraries (locks/{requirements}); the first time takes a few minutes")
        _pip_locked(LOCKS / requirements)
        say("3/3 installing PyTorch in the build that fits this machine")
        _install_torch(locked=True)
    _compile()
    stamp.write_text(wanted)


def why_not_locked(requirements: str) -> str:
    """Why packages are installed without comparing hashes; empty where they are compared."""
    if os.environ.get("SLICEWISE_UNHASHED"):
        return "SLICEWISE_UNHASHED is set"
    try:
        differ = sorted(pins(ROOT / requirements) - pins(LOCKS / requirements) - set(TORCH))
    except OSError:
        return f"locks/{requirements} is missing"
    return f"locks/{requirements} does not hold {', '.join(differ)}" if differ else ""


def pins(file: Path) -> set[str]:
    """Every "name==version" of a file of requirements and of those that it includes."""
    found = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= pins(file.parent / line[3:].strip())
        elif pin := re.match(r"[\w.-]+==[^\s;\\]+", line):
            found.add(pin[0].lower().replace("_", "-"))
    return found


def browser() -> str:
    """A Chromium for the browser tests: the system's, or installed now."""
    if found := next(filter(None, map(shutil.which, BROWSERS)), None):
        return found
    if shutil.which("apt-get") and _can_be_root():
        say("installing Debian's chromium for the browser tests")
        _apt("chromium")
        return shutil.which("chromium") or "chromium"
    say("fetching a Chromium for the browser tests")
    subprocess.run([PYTHON, "-m", "playwright", "install", "chromium"], check=True)
    return ""


def node() -> None:
    """On a machine that checks for others, the npm that the page's checks need; elsewhere people choose their own."""
    if (
        os.environ.get("CI") == "true"
        and not shutil.which("npm")
        and shutil.which("apt-get")
        and _can_be_root()
    ):
        say("installing Debian's npm for the checks of the page's scripts")
        _apt("npm")


def say(line: str) -> None:
    print(f"[slicewise] {line}", flush=True)


def _make_environment() -> None:
    if importlib.util.find_spec("ensurepip") is None and shutil.which("apt-get") and _can_be_root():
        say("this Python lacks its venv module; installing Debian's python3-venv")
        _apt(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        print("this Python cannot make virtual environments; install python3-venv first", file=sys.stderr)
        raise


def _install_torch(*, locked: bool) -> None:
    """On Linux without a GPU the CPU build, from PyTorch's own index where it can be reached; else what the configured
    index gives.

    Only the builds on PyPI have hashes in locks/torch.txt.
    """
    if _installed("torch", TORCH[0]):
        return
    if sys.platform in ("darwin", "win32") or _has_nvidia():
        if locked:
            _pip_locked(LOCKS / "torch.txt")
        else:
            _pip(*TORCH)
        return
    options = ("--index-url", CPU_WHEELS) if _reachable(CPU_WHEELS + "/torch/") else ()
    say("its CPU build is not on PyPI: it comes without a hash to compare it with")
    _pip(*TORCH, *options)


def _installed(package: str, pin: str) -> bool:
    code = f"import importlib.metadata as m; print('{package}==' + m.version('{package}').split('+')[0])"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() == pin


def _has_nvidia() -> bool:
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.run([program, "-L"], capture_output=True).returncode == 0


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=8) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        say("PyTorch's own index cannot be reached; taking torch from the configured one")
        return False


def _pip(*arguments: str) -> None:
    """Without pip's own compiling, which takes one core a minute; `_compile` takes all of them."""
    options = ("--disable-pip-version-check", "--no-compile")
    subprocess.run([str(PYTHON), "-m", "pip", "install", *options, *arguments], check=True)


def _pip_locked(lock: Path) -> None:
    """Only files whose hashes stand in the lock; it names every dependency, so that none is looked for."""
    _pip("--require-hashes", "--no-deps", "-r", str(lock))


def _compile() -> None:
    """What pip leaves out: else every start of a read-only or a bytecode-less Python would do it again."""
    asked = [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    folder = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    # no check: some packages carry files for other Pythons, which do not compile in this one
    subprocess.run([str(PYTHON), "-m", "compileall", "-qq", "-j", "0", "-x", TESTS, folder], check=False)


def _can_be_root() -> bool:
    if os.geteuid() == 0:
        return True
    return (
        bool(shutil.which("sudo"))
        and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    )


def _apt(package: str) -> None:
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*root, "apt-get", "update", "-qq"], check=True, env=quiet)
    subprocess.run([*root, "apt-get", "install", "-y", "-qq", package], check=True, env=quiet)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
