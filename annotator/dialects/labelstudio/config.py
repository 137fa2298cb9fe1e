"""What a labelling configuration of Label Studio says: which controls there are, for which image, with which labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

LONGEST = 200_000  # characters
BRUSH, BOX, POLYGON = "brushlabels", "rectanglelabels", "polygonlabels"
KINDS = (BRUSH, BOX, POLYGON)


@dataclass(frozen=True)
class Control:
    """A tag such as <BrushLabels name="tag" toName="image">."""

    kind: str
    name: str
    image: str  # the name of its image
    field: str  # of a task's data, where the image's address is
    labels: tuple[str, ...]


def controls_in(config: Any) -> tuple[Control, ...]:
    """In the order of the configuration. Raises ValueError for one that cannot be read."""
    if not isinstance(config, str) or len(config) > LONGEST or "<!" in config.replace("<!--", ""):
        raise ValueError("this labelling configuration cannot be read; save it once more in Label Studio")
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise ValueError(
            "this labelling configuration is no XML; save it once more in Label Studio"
        ) from error
    images = {tag.get("name", ""): tag.get("value", "").removeprefix("$") for tag in root.iter("Image")}
    return tuple(
        Control(kind, tag.get("name", ""), image, images[image], _labels(tag))
        for tag in root.iter()
        if (kind := str(tag.tag).lower()) in KINDS and (image := tag.get("toName", "")) in images
    )


def _labels(tag: ElementTree.Element) -> tuple[str, ...]:
    return tuple(one.get("value", "") for one in tag.iter("Label"))


def control_of(controls: tuple[Control, ...], kind: str) -> Control | None:
    return next((one for one in controls if one.kind == kind), None)


def name_of_image(task: Mapping[str, Any], controls: tuple[Control, ...]) -> str:
    """The name of a task's file. Label Studio puts eight digits before the name of what it was sent."""
    data = task.get("data")
    fields = [one.field for one in controls]
    found = (
        next((data[f] for f in fields if isinstance(data.get(f), str)), "") if isinstance(data, dict) else ""
    )
    name = found.partition("?")[0].replace("\\", "/").rpartition("/")[2]
    return str(name)
