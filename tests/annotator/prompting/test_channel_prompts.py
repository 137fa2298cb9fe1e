"""Prompt models see the composite that the person sees, and how it is shown is kept for the project."""

import json
from pathlib import Path

import numpy as np
import pytest

from annotator.labels.commit import Refused
from annotator.prompting.answering import StoredSlice
from annotator.prompting.service import PromptService
from annotator.protocol.incoming import PredictMessage, parse_message
from annotator.windowing import views_of
from annotator.workflow import Workflow
from storage.arrays import SliceRef
from storage.channels.named import Channel, ChannelLook, composite, picture_of
from storage.scan import Scan
from storage.store import Store

SHAPE = (2, 24, 30)
LOOKS = [
    {"color": "#00ff00", "window": [0.0, 90.0], "gamma": 2.0, "shown": True},
    {"color": "#ff0000", "window": [0.0, 9.0], "gamma": 1.0, "shown": False},
]


@pytest.fixture
def image(store: Store) -> int:
    rng = np.random.default_rng(1)
    named = tuple(
        Channel(name, rng.integers(0, 90, SHAPE).astype(np.uint16), ChannelLook("#ffffff", (0.0, 99.0)))
        for name in ("DNA", "actin")
    )
    return store.add_image(Scan("cells.tif", picture_of(named), None, None, named=named))


def asked(image: int, looks: list) -> PredictMessage:
    said = {"t": "predict", "seq": 1, "image": image, "axis": 0, "index": 1, "window": [0, 255]}
    message = parse_message(json.dumps({**said, "looks": looks, "points": [[9, 9]], "labels": [1]}).encode())
    assert isinstance(message, PredictMessage)
    return message


def test_a_prompt_is_answered_on_what_the_person_sees(store: Store, image: int):
    workflow = Workflow(store, PromptService(store))
    message, _ = workflow.predict(asked(image, LOOKS), b"")
    assert message["saw"] == ["DNA"]
    row, said = store.image(image), asked(image, LOOKS)
    seen = StoredSlice(row.path, 0, 1, (0, 255), views_of(row, said.channel_looks)).picture
    values = np.load(row.named[0].path)[1]
    assert np.array_equal(seen, composite([(values, ChannelLook("#00ff00", (0.0, 90.0), 2.0))]))
    picture = StoredSlice(row.path, 0, 1, (0, 255)).picture
    assert np.array_equal(picture, store.pixels(image)[1]) and not np.array_equal(picture, seen)
    with pytest.raises(Refused, match="shows other channels than this image has"):
        workflow.predict(asked(image, LOOKS[:1]), b"")
    workflow.close()


def test_how_a_channel_is_shown_is_kept_by_its_name(store: Store, image: int, tmp_path: Path):
    workflow = Workflow(store, PromptService(store))
    workflow.keep_look("actin", ChannelLook("#ff0000", (1.0, 7.0), 0.5, shown=False))
    told = workflow.image(image)["named"]
    assert [one["name"] for one in told] == ["DNA", "actin"] and told[0]["color"] == "#ffffff"
    assert (told[1]["color"], told[1]["window"], told[1]["gamma"], told[1]["shown"]) == (
        "#ff0000", (1.0, 7.0), 0.5, False,
    )  # fmt: skip
    workflow.close()


def test_pixels_of_a_channel_are_its_own(store: Store, image: int):
    workflow, row = Workflow(store, PromptService(store)), store.image(image)
    assert np.array_equal(workflow.pixels(image, 0, 2, 1), np.load(row.named[1].path))
    assert workflow.slice(SliceRef(image, 1, 3), 0).dtype == np.dtype("<u2")
    with pytest.raises(LookupError, match="this image has 2 channels"):
        workflow.pixels(image, 0, 1, 2)
    workflow.close()
