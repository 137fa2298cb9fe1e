"""What the documents say is so: commands run, names exist, links lead somewhere."""

import argparse
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

import app
from annotator.dialects import DIALECTS
from annotator.exchange.writers import WRITERS
from annotator.protocol.incoming import AnyMessage
from learners import LEARNERS
from learners.adapt import ADAPTERS
from learners.engines import ENGINES
from learners.propagate import PROPAGATORS
from learners.propagate.next_slice import SLICE_RULES
from learners.rankers import RANKERS
from models import PROMPT_MODELS
from storage.formats import READERS
from tests.conftest import ROOT
from tests.support.prose import documents

PAPERS = documents()
PACKAGES = ("annotator", "benchmarks", "learners", "models", "slicewise", "storage", "tests")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(  # in a code span, or on a line of its own
    r"`(?:python3? )?(?:start|app)\.py\b([^`\n]*)`|^ *python3? (?:start|app)\.py\b(.*)$", re.MULTILINE
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("paper", PAPERS, ids=named)
def test_links_inside_the_project_lead_somewhere(paper: Path):
    for target in LINK.findall(paper.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        page = paper.parent / name if name else paper
        assert page.exists(), f"{named(paper)} links to {target}"
        assert not anchor or anchor in anchors(page), f"{named(paper)} links to {target}"


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_of_the_guide_and_of_what_was_measured_is_listed():
    for folder, index in (("docs/guide", "docs/README.md"), ("docs/measured", "docs/measured/README.md")):
        listed = {(ROOT / index).parent / target for target in LINK.findall(text(index))}
        pages = set((ROOT / folder).glob("*.md")) - {ROOT / index}
        assert pages <= listed, f"{index} does not list {sorted(map(named, pages - listed))}"


@pytest.mark.parametrize("paper", PAPERS, ids=named)
def test_a_file_that_a_document_names_is_there(paper: Path):
    files = [f"/{named(path)}" for part in PACKAGES for path in (ROOT / part).rglob("*.*")]
    for name in re.findall(r"`([\w./-]+\.(?:py|js|css))`", paper.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or any(file.endswith(f"/{name}") for file in files), name


def commands() -> list[str]:
    said = (pair for paper in PAPERS for pair in COMMAND.findall(paper.read_text(encoding="utf-8")))
    return sorted({(in_span or on_line).strip() for in_span, on_line in said})


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_is_one_that_the_program_takes(command: str):
    words = shlex.split(command.replace("[", "").replace("]", ""))
    if words[:1] in (["test"], ["check"], ["setup"]):
        return
    words = words if words[:1] and words[0] in app.COMMANDS else ["open", *words]
    if words[0] == "COMMAND":
        return
    options = app.parser().parse_args(words)
    assert callable(options.run)


def test_every_command_has_its_line_on_the_page_about_the_command_line():
    missing = [
        name
        for name in app.COMMANDS
        if name != "open" and f"app.py {name} " not in text("docs/guide/command_line.md")
    ]
    assert not missing


def test_every_message_to_the_server_is_in_the_protocol():
    protocol = text("docs/protocol.md")
    kinds = [kind for model in get_args(AnyMessage) for kind in get_args(model.model_fields["t"].annotation)]
    assert {"open", "label", "redo"} <= set(kinds)
    for kind in kinds:
        assert f't:"{kind}"' in protocol, kind


@pytest.mark.parametrize(
    ("paper", "names"),
    [
        ("docs/guide/models.md", list(PROMPT_MODELS)),
        ("docs/guide/fills.md", [*PROPAGATORS, *SLICE_RULES]),
        ("docs/guide/learning.md", [*LEARNERS, *RANKERS, *ADAPTERS, *ENGINES]),
        ("docs/guide/formats.md", [suffix for reader in READERS.values() for suffix in reader.suffixes]),
        ("docs/guide/formats.md", [f"`{name}/" for name in WRITERS]),
        ("docs/guide/other_tools.md", [f"`{name}`" for name in DIALECTS]),
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
