"""What the values of masks mean: decided once for all masks that share their tables, before anything is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from annotator.exchange.masks.survey import WHITE, MaskSurvey, hex_colour, is_colour
from annotator.exchange.masks.value_names import BACKGROUND_NAMES, VOID_NAMES, ValueNames
from learners.text import count_of

OBJECT = "object"  # the class of masks that number objects and name none
MANY = 20  # more values than this may be object numbers
MOST_UNNAMED = 30  # more new classes without a name than this are never made unasked
DENSE = 0.5  # of the numbers up to the highest, object numbers use at least this share
LABELS_END = 100  # label numbers are small; values above it are grey levels, chosen to be seen
HIGHEST_CLASS = 65535  # larger numbers are those of objects
SCATTERED = 2  # pieces for each value: as many or more are classes, as an object is mostly in one piece
BLACK_AND_WHITE = ((WHITE,), (65535,))

CALLED_BACKGROUND = {"background", "bg"}  # also where another value than 0 is

Kind = Literal["class", "void", "background"]


@dataclass(frozen=True)
class Meaning:
    """Of one value."""

    kind: Kind
    name: str = ""  # of a class
    color: str | None = None  # of a class that is made for it
    code: str = ""  # of a class that has none, as text


@dataclass(frozen=True)
class ValueChoices:
    """What a person said; the rest is decided by the values and their tables."""

    objects: bool | None = None  # whether values number objects
    values: Mapping[int, Meaning] = field(default_factory=dict)
    object_class: Meaning = Meaning("class", OBJECT)  # of the objects


@dataclass
class MaskMeaning:
    """The decision for one family of masks."""

    objects: bool
    values: dict[int, Meaning]
    fixed: bool  # whether the data set fixes its values, so that they are written again on export
    names: ValueNames
    own: dict[Path, dict[int, str]]  # classes of objects by mask file
    object_class: Meaning = Meaning("class", OBJECT)
    notes: list[str] = field(default_factory=list)
    question: str = ""  # why nobody but a person can decide; nothing is imported until then

    def of(self, path: Path, value: int) -> Meaning:
        """What a value means in a file."""
        if value == 0 and path.name in self.names.half_known and 0 not in self.values:
            return Meaning("void")
        own = self.own.get(path, {})
        if value in own:
            return Meaning("class", own[value])
        return self.values.get(value, self.object_class if value else Meaning("background"))


def decide(
    surveys: Sequence[MaskSurvey],
    names: ValueNames,
    choices: ValueChoices,
    *,
    own: dict[Path, dict[int, str]],
    classes: Iterable[str],
) -> MaskMeaning:
    """One meaning for the values of all these masks. `classes`: names that the project has."""
    present = sorted({value for one in surveys for value in one.present})
    objects = _are_objects(surveys, present, names, own) if choices.objects is None else choices.objects
    meaning = MaskMeaning(objects, {}, True, names, own, choices.object_class)
    for value in [0, *present]:
        by_table = _by_colour(value, names) or _by_table(value, names)
        said = choices.values.get(value) or by_table
        if said is not None:
            same = by_table is not None and by_table.name == said.name
            meaning.values[value] = replace(said, code=by_table.code) if by_table and same else said
    open_values = [value for value in present if value not in meaning.values]
    if objects:
        _number_objects(meaning, open_values, sure=choices.objects or any(one.wide for one in surveys))
    else:
        _name_classes(meaning, open_values, surveys)
        if choices.objects is None:
            _ask(meaning, open_values, set(classes))
    if any(one.softened for one in surveys):
        meaning.notes.append(
            "black-and-white masks with soft edges: from the middle grey on, it is the object"
        )
    return meaning


def as_called_now(meaning: MaskMeaning, former: Mapping[str, str], choices: ValueChoices) -> MaskMeaning:
    """Classes that people have renamed since: importing again brings no class under its old name. What somebody says
    in this import is taken as it is said."""
    own = {p: {v: former.get(name, name) for v, name in said.items()} for p, said in meaning.own.items()}
    renamed = {
        value: replace(one, name=former[one.name])
        for value, one in meaning.values.items()
        if one.kind == "class" and one.name in former and value not in choices.values
    }
    notes = [
        f"{meaning.values[value].name} is the class {one.name}, as it is called now"
        for value, one in renamed.items()
    ]
    values, objects = {**meaning.values, **renamed}, meaning.object_class
    if objects == ValueChoices().object_class:
        objects = replace(objects, name=former.get(objects.name, objects.name))
    told = [*meaning.notes, *notes]
    return replace(meaning, values=values, own=own, object_class=objects, notes=told)


def _by_colour(value: int, names: ValueNames) -> Meaning | None:
    """What a table says of a colour; white and black need one like all others."""
    if not is_colour(value):
        return None
    name = names.colours.get(hex_colour(value))
    if name is None:
        return None
    if name.casefold() in VOID_NAMES:
        return Meaning("void")
    if name.casefold() in BACKGROUND_NAMES:
        return Meaning("background")
    return Meaning("class", name, hex_colour(value))


def _by_table(value: int, names: ValueNames) -> Meaning | None:
    if value in names.void:
        return Meaning("void")
    if value not in names.classes:
        return None
    if names.classes[value].casefold() in CALLED_BACKGROUND and not names.ours:
        return Meaning("background")
    return Meaning("class", names.classes[value], names.colour_of.get(value), names.code_of.get(value, ""))


def _are_objects(
    surveys: Sequence[MaskSurvey], present: list[int], names: ValueNames, own: dict[Path, dict[int, str]]
) -> bool:
    """16-bit pictures number objects; so do many dense values, of pictures or of 16-bit volumes."""
    if own or any(value > HIGHEST_CLASS and not is_colour(value) for value in present):
        return True
    if any(map(is_colour, present)):
        return False
    if names.classes or not present or tuple(present) in BLACK_AND_WHITE:
        return False
    if not all(one.flat for one in surveys):
        return False
    pictures = [one for one in surveys if not one.is_volume]
    if any(one.wide for one in pictures):
        return not _scattered(surveys)
    numbers = [value for value in present if value != WHITE or WHITE - 1 in present]
    many = len(numbers) > MANY and len(numbers) >= DENSE * max(numbers)
    return many and (bool(pictures) or any(one.wide for one in surveys))


def _scattered(surveys: Sequence[MaskSurvey]) -> bool:
    """Whether values lie in several pieces each, as classes do and objects do not."""
    counted = [one for one in surveys if one.pieces]
    pieces, values = sum(one.pieces for one in counted), sum(len(one.present) for one in counted)
    return (
        bool(counted)
        and len(counted) == len([s for s in surveys if s.present])
        and pieces >= SCATTERED * values
    )


def _number_objects(meaning: MaskMeaning, values: list[int], *, sure: bool) -> None:
    """Every value is an object of one class; unless that is sure, 255 is none where the numbers do not reach it."""
    for value in values:
        void = value == WHITE and not sure and WHITE - 1 not in values and len(values) > 1
        meaning.values[value] = Meaning("void") if void else meaning.object_class
    count = sum(said.kind == "class" for said in meaning.values.values())
    meaning.notes.append(
        "1 value is an object number, no class"
        if count == 1
        else f"{count} values are object numbers, not classes"
    )
    if any(value > HIGHEST_CLASS for value in values):
        meaning.notes.append(f"object numbers above {HIGHEST_CLASS:,} are counted anew from 1 in their file")


def _name_classes(meaning: MaskMeaning, values: list[int], surveys: Sequence[MaskSurvey]) -> None:
    colours, values = [v for v in values if is_colour(v)], [v for v in values if not is_colour(v)]
    for value in colours:
        meaning.values[value] = Meaning("class", hex_colour(value), hex_colour(value))
    if colours:
        meaning.notes.append(
            f"{count_of(len(colours), 'colour')} without a name: each is a class that is called by its number"
        )
    if any(value > HIGHEST_CLASS for value in values):
        meaning.question = f"values above {HIGHEST_CLASS:,} can only be numbers of objects"
    if _scattered(surveys):
        meaning.notes.append(
            "16-bit values lie in several pieces each, so they are classes and no object numbers"
        )
    present = sorted({value for one in surveys for value in one.present})
    if tuple(present) in BLACK_AND_WHITE and values:
        meaning.values[values[0]] = Meaning("class", OBJECT)
        meaning.fixed = False
        return
    others = [value for value in present if value != WHITE]
    for value in values:
        if value != WHITE or not others:
            meaning.values[value] = Meaning("class", str(value))
        elif _are_grey_levels(others) or any(one.present == (WHITE,) for one in surveys):
            meaning.values[value] = Meaning("class", str(value))
            meaning.question = "255 may be a class or say that nobody knows"
        else:
            meaning.values[value] = Meaning("void")
            meaning.notes.append("255 beside other values says that nobody knows; it becomes no class")
    unnamed = [v for v in values if meaning.values[v].kind == "class"]
    if meaning.names.classes and unnamed:
        meaning.notes.append(f"no table names {_listed(unnamed)}; the numbers are the names")


def _ask(meaning: MaskMeaning, values: list[int], known: set[str]) -> None:
    """Where the values alone decide nothing."""
    made = {meaning.values[v].name for v in values if meaning.values[v].kind == "class"} - known
    if len(made) > MOST_UNNAMED:
        meaning.question = f"{len(made)} values have no names and would become as many classes"


def _are_grey_levels(values: list[int]) -> bool:
    """Whether values look like greys chosen to be told apart by eye, of which white may be one."""
    return min(values) > LABELS_END or min(values) >= WHITE // (len(values) + 2)


def _listed(values: list[int]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return shown + (f" and {len(values) - 5} more" if len(values) > 5 else "")
