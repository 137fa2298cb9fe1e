"""Every message that the server sends has one constructor, and its fields are those of docs/protocol.md."""

import inspect
import re
from collections.abc import Iterator
from types import FunctionType
from typing import Any, get_args

import pytest

from annotator.protocol import outgoing
from annotator.protocol.incoming import AnyMessage
from tests.conftest import ROOT

ANNOTATOR = ROOT / "annotator"
PARTS = {"conflict", "round_progress"}  # of other messages
TWO_FORMS = {"queue"}  # said when the order changed, and the answer to who asks for it then
INCOMING = {kind for model in get_args(AnyMessage) for kind in get_args(model.model_fields["t"].annotation)}
SAMPLES: dict[str, Any] = {
    "box": (0, 1, 0, 2, 0, 3),
    "states": [(0, 4, "labelled")],
    "refused": ["one line"],
    "users": ["ann"],
    "items": [],
    "objects": ["one line"],
    "next_images": [],
    "candidates": [],
    "conflict": {"by": "ann", "pixels": 3},
}


def constructors() -> dict[str, FunctionType]:
    found = vars(outgoing).items()
    return {name: f for name, f in found if isinstance(f, FunctionType) and not name.startswith("_")}


def made(name: str, *, whole: bool) -> dict[str, Any]:
    """A message with all its fields, or with those alone that it always has."""
    function = constructors()[name]
    arguments = {
        key: _sample(key)
        for key, parameter in inspect.signature(function).parameters.items()
        if whole or parameter.default is parameter.empty
    }
    return function(**arguments)


def _sample(key: str) -> Any:
    if key == "progress":  # of a round; of a fill it is a number, which is a field of its own all the same
        return made("round_progress", whole=True)
    return SAMPLES.get(key, 1)


def documented() -> Iterator[tuple[str, set[str], set[str]]]:
    """Each message of the server: its kind, the fields it always has, and those it may have."""
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for start in (found.start() for found in re.finditer(r'\{t:"', text)):
        kind, *fields = _fields(text[start:])
        kind = kind.split('"')[1]
        if kind in INCOMING:
            continue
        names = [re.match(r"[\w|]+\??", field.strip()).group() for field in fields]  # type: ignore[union-attr]
        may = {each for name in names if "|" in name for each in name.split("|")}
        may |= {name.rstrip("?") for name in names if name.endswith("?")}
        yield kind, {name for name in names if "|" not in name and not name.endswith("?")}, may


def _fields(text: str) -> list[str]:
    """What stands between the commas of the first pair of braces."""
    depth, parts = 0, [""]
    for sign in text:
        depth += (sign in "{[") - (sign in "}]")
        if depth == 0:
            return parts
        if sign == "," and depth == 1:
            parts.append("")
        elif not (sign == "{" and depth == 1):
            parts[-1] += sign
    raise AssertionError(f"these braces do not close: {text[:60]}")


def test_the_fields_of_every_message_are_those_of_the_protocol():
    told = {
        name: (made(name, whole=False), made(name, whole=True))
        for name in constructors()
        if name not in PARTS
    }
    forms = [(kind, always, always | may) for kind, always, may in documented()]
    assert len(forms) > 15
    for kind, always, whole in forms:
        here = [(set(a) - {"t"}, set(b) - {"t"}) for a, b in told.values() if a["t"] == kind]
        assert (always, whole) in here, f"{kind}: {sorted(whole)} is documented, {here} is sent"
    kinds = {kind for kind, _, _ in forms}
    for name, (short, _) in told.items():
        assert short["t"] in kinds, f"docs/protocol.md does not tell of {name}"


def test_a_kind_of_message_has_one_constructor():
    kinds = [made(name, whole=False)["t"] for name in constructors() if name not in PARTS]
    assert {kind for kind in kinds if kinds.count(kind) > 1} == TWO_FORMS


@pytest.mark.parametrize("pattern", [r'"t":', r"^Message\b.*=", r"dict\(t="])
def test_messages_are_made_nowhere_else(pattern: str):
    found = {
        path.relative_to(ANNOTATOR).as_posix()
        for path in ANNOTATOR.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found <= {"protocol/outgoing.py"}


def test_a_message_leaves_out_what_it_does_not_say():
    assert outgoing.refused("no", seq=0) == {"t": "refused", "seq": 0, "message": "no", "retry": False}
    assert outgoing.fill(1, "done", finished=False) == {
        "t": "fill",
        "image": 1,
        "state": "done",
        "finished": False,
    }
