"""What the papers say is so: commands run, names exist, links lead somewhere."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

import app
from annotator.messages import COMMITS
from learners import LEARNERS
from learners.propagate import PROPAGATORS
from learners.rankers import RANKERS
from models import PROMPT_MODELS
from storage.formats import READERS
from tests.conftest import ROOT

PAPERS = [ROOT / name for name in ("README.md", "CONTEXT.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_links_inside_the_project_lead_somewhere(paper: Path):
    for target in re.findall(r"\]\(([^)#\s]+)\)", paper.read_text(encoding="utf-8")):
        assert target.startswith("http") or (paper.parent / target).exists(), (
            f"{paper.name} links to {target}"
        )


def commands() -> list[str]:
    said = re.findall(
        r"^\s*(?:`|\| `)?python3? (?:start|app)\.py ?(.*?)`?(?:\s+\||\s{2,}.*)?$", text("README.md"), re.M
    )
    return sorted({line.strip() for line in said})


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_is_one_that_the_program_takes(command: str):
    words = shlex.split(command.replace("[", "").replace("]", ""))
    if words[:1] in (["test"], ["setup"]):
        return
    words = words if words[:1] and words[0] in app.COMMANDS else ["open", *words]
    if words[0] == "COMMAND":
        return
    options = app.parser().parse_args(words)
    assert callable(options.run)


def test_every_message_to_the_server_is_in_the_protocol():
    protocol = text("docs/protocol.md")
    for kind in ("open", "look", "predict", *COMMITS, "ping"):
        assert f't:"{kind}"' in protocol, kind


@pytest.mark.parametrize(
    ("paper", "names"),
    [
        ("docs/models.md", list(PROMPT_MODELS)),
        ("docs/sparse.md", list(PROPAGATORS)),
        ("docs/learners.md", [*LEARNERS, *RANKERS]),
        ("docs/formats.md", [suffix for reader in READERS.values() for suffix in reader.suffixes]),
    ],
)
def test_every_part_that_can_be_chosen_is_described(paper: str, names: list[str]):
    said = text(paper).lower()
    missing = [
        name for name in names if name.lower() not in said and name.lower().replace("_", " ") not in said
    ]
    assert not missing, f"{paper} does not mention {missing}"


def test_every_flag_has_words():
    for name, parser in subparsers().items():
        for action in parser._actions:
            assert action.help, f"{name} {action.option_strings or action.dest} has no help"


def subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = app.parser()._actions
    return next(a.choices for a in actions if isinstance(a, argparse._SubParsersAction))
