"""What a page may say on the websocket: every field with its type, range and length."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from annotator.protocol.frames import BadFrame
from storage.arrays import MAX_CLASS
from storage.channels.named import MAX_CHANNELS, ChannelLook

MAX_INDEX = (1 << 31) - 1
MAX_ID = (1 << 53) - 1  # what a browser counts exactly
MAX_POINTS = 10_000
MAX_NOTE = 256 << 10  # bytes of JSON about how a label came to be

Axis = Annotated[int, Field(ge=0, le=2)]
Index = Annotated[int, Field(ge=0, le=MAX_INDEX)]
Count = Annotated[int, Field(ge=0, le=MAX_ID)]
ImageId = Annotated[int, Field(ge=1, le=MAX_ID)]
Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ClassNumber = Annotated[int, Field(ge=1, le=MAX_CLASS)]
Seconds = Annotated[float, Field(ge=0, lt=86400, allow_inf_nan=False)]  # that a person worked
Point = tuple[Number, Number]  # row, column
Points = Annotated[tuple[Point, ...], Field(max_length=MAX_POINTS)]
Sign = Annotated[int, Field(ge=0, le=1)]
BoxNumbers = tuple[Number, Number, Number, Number]


def _half_open(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    if not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError("a box needs r0 < r1 and c0 < c1")
    return box


def _half_open_volume(box: tuple[int, int, int, int, int, int]) -> tuple[int, int, int, int, int, int]:
    if not (box[0] < box[1] and box[2] < box[3] and box[4] < box[5]):
        raise ValueError("a box needs z0 < z1, y0 < y1 and x0 < x1")
    return box


def _ordered(window: tuple[float, float]) -> tuple[float, float]:
    if window[0] > window[1]:
        raise ValueError("a window needs its low end first")
    return window


def _small(note: dict[str, Any]) -> dict[str, Any]:
    """Refuses notes that are long or hold NaN, which the JSON of a database cannot."""
    if len(json.dumps(note, allow_nan=False)) > MAX_NOTE:
        raise ValueError("the note about the prompts is too long")
    return note


VoxelBox = Annotated[tuple[Index, Index, Index, Index, Index, Index], AfterValidator(_half_open_volume)]
PixelBox = Annotated[tuple[Index, Index, Index, Index], AfterValidator(_half_open)]
Window = Annotated[tuple[Number, Number], AfterValidator(_ordered)]
Note = Annotated[dict[str, Any], AfterValidator(_small)]


class IncomingMessage(BaseModel):
    """What the page says, checked. Fields that we do not know are left out."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class SliceMessage(IncomingMessage):
    image: ImageId
    axis: Axis
    index: Index


class OpenMessage(IncomingMessage):
    t: Literal["open"]
    image: ImageId


class ChannelLookMessage(IncomingMessage):
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
    window: Window
    gamma: Annotated[float, Field(ge=0.1, le=10, allow_inf_nan=False)] = 1.0
    shown: bool = True

    @property
    def look(self) -> ChannelLook:
        """Raises ValueError."""
        return ChannelLook(self.color, self.window, self.gamma, self.shown)


class SeenSliceMessage(SliceMessage):
    """A slice as it is on screen."""

    window: Window
    looks: Annotated[tuple[ChannelLookMessage, ...], Field(max_length=MAX_CHANNELS)] = ()

    @property
    def channel_looks(self) -> tuple[ChannelLook, ...]:
        """Of all channels of the image; empty where it has none. Raises ValueError."""
        return tuple(one.look for one in self.looks)


class LookMessage(SeenSliceMessage):
    t: Literal["look"]
    direction: Literal[1, -1] = 1


class ScribbleMessage(IncomingMessage):
    label: Sign
    points: Points
    closed: bool = False  # an outline: all within it is meant


class PromptsOnSlice(IncomingMessage):
    axis: Axis
    index: Index
    points: Points = ()
    labels: Annotated[tuple[Sign, ...], Field(max_length=MAX_POINTS)] = ()
    box: BoxNumbers | None = None
    scribbles: Annotated[tuple[ScribbleMessage, ...], Field(max_length=1000)] = ()


class PredictMessage(SeenSliceMessage, PromptsOnSlice):
    """`elsewhere`: of the same object on other slices, for a model that answers for whole volumes."""

    t: Literal["predict"]
    seq: Count
    elsewhere: Annotated[tuple[PromptsOnSlice, ...], Field(max_length=200)] = ()
    view: BoxNumbers | None = None
    mask_box: PixelBox | None = None
    mend: bool = False


class MendMessage(SliceMessage):
    t: Literal["mend"]
    seq: Count
    box: PixelBox
    value: Annotated[int, Field(ge=0, le=MAX_CLASS)]
    producer: Annotated[str, Field(max_length=200)]
    prediction: Annotated[int, Field(ge=1, le=MAX_ID)]


class LabelMessage(SliceMessage):
    t: Literal["label"]
    id: ClientId
    box: PixelBox
    source: Literal["drawn", "prompted", "refined", "accepted"]
    base_rev: Count
    instance: Annotated[int, Field(ge=-1, le=65535)] = 0
    prompts: Note = {}
    seconds: Seconds = 0.0
    made: Count | None = None


class VolumeMessage(SliceMessage):
    """`keep`: classes that stay what they are; `apart`: other numbered objects of the same class do too."""

    t: Literal["volume"]
    id: ClientId
    box: VoxelBox
    value: ClassNumber
    keep: Annotated[tuple[ClassNumber, ...], Field(max_length=MAX_CLASS)] = ()
    apart: bool = False
    base_rev: Count
    instance: Annotated[int, Field(ge=-1, le=65535)] = 0
    prompts: Note = {}
    seconds: Seconds = 0.0
    made: Count | None = None


class CompleteMessage(SliceMessage):
    t: Literal["complete"]
    id: ClientId
    on: bool


class ClearMessage(IncomingMessage):
    """Of the whole image where `index` is null."""

    t: Literal["clear"]
    id: ClientId
    image: ImageId
    axis: Axis = 0
    index: Index | None = None
    base_rev: Count


class AcceptMessage(IncomingMessage):
    t: Literal["accept"]
    id: ClientId
    image: ImageId
    axis: Axis
    lo: Index
    hi: Annotated[int, Field(ge=1, le=MAX_INDEX)]
    min_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    producer: Annotated[str, Field(max_length=200)] | None = None
    prediction: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    number: bool | Annotated[tuple[ClassNumber, ...], Field(max_length=MAX_CLASS)] = False
    box: PixelBox | None = None
    seconds: Seconds = 0.0


class ObjectsMessage(SliceMessage):
    """`at`: a voxel (z, y, x) of each object; `axis` and `index`: the slice on which the person sees them."""

    t: Literal["objects"]
    id: ClientId
    do: Literal["merge", "split", "holes", "delete", "class", "number"]
    at: Annotated[tuple[tuple[Index, Index, Index], ...], Field(max_length=1000)] = ()
    line: BoxNumbers | None = None
    value: Annotated[int, Field(ge=1, le=MAX_CLASS)] | None = None
    base_rev: Count
    seconds: Seconds = 0.0


class UndoMessage(IncomingMessage):
    t: Literal["undo", "redo"]
    id: ClientId
    target: ClientId


class PingMessage(IncomingMessage):
    t: Literal["ping"]
    n: Annotated[float, Field(allow_inf_nan=False)] = 0


CommitMessage = (
    LabelMessage
    | VolumeMessage
    | CompleteMessage
    | ClearMessage
    | AcceptMessage
    | ObjectsMessage
    | UndoMessage
)  # what changes labels
AnyMessage = OpenMessage | LookMessage | PredictMessage | MendMessage | CommitMessage | PingMessage
_ADAPTER: TypeAdapter[AnyMessage] = TypeAdapter(Annotated[AnyMessage, Field(discriminator="t")])


class BadMessage(ValueError):
    """A message of the right form that says something impossible. `message_key` is the id or seq it carries."""

    def __init__(self, line: str, message_key: dict[str, Any]) -> None:
        super().__init__(line)
        self.about = message_key


def parse_message(text: bytes) -> AnyMessage:
    """The message with all its fields checked.

    Raises BadFrame where it is no JSON object with a `t` that we know, BadMessage where a field is wrong.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if len(first["loc"]) < 2:
            raise BadFrame("The page said something this server does not understand; reload it.") from error
        field = ".".join(str(part) for part in first["loc"][1:])
        problem = first["msg"].removeprefix("Value error, ")
        raise BadMessage(
            f"The field {field} is wrong ({problem}); reload the page.", message_key(text)
        ) from error
    except RecursionError as error:
        raise BadFrame("The page said something nested too deep; reload it.") from error


def message_key(text: bytes) -> dict[str, Any]:
    """The id or seq of a message that has other faults, so that the page knows which one was refused."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    if isinstance(said.get("id"), str) and len(said["id"]) <= 256:
        return {"id": said["id"]}
    return {"seq": said["seq"]} if type(said.get("seq")) is int and abs(said["seq"]) <= MAX_ID else {}
