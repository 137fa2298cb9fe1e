"""Whether there are tags enough to learn from, in words. Light: the server asks before it starts a round."""

from collections.abc import Sequence

from learners.spec import Example, Tag

MIN_SLICES = 3  # slices with a class, and as many without


def usable(example: Example) -> tuple[Tag, ...]:
    """The tags of an image that nothing is judged by: a mask that is held out must not teach as a tag either."""
    if example.all_held:
        return ()
    return tuple(t for t in example.tags if (t.axis, t.index) not in example.held)


def teachable(examples: Sequence[Example], class_ids: Sequence[int]) -> tuple[int, ...]:
    """The classes that are on enough slices and not on enough others."""
    tags = [tag for example in examples for tag in usable(example)]
    return tuple(
        value
        for value in class_ids
        if min(sum(t.value == value and t.present is there for t in tags) for there in (True, False))
        >= MIN_SLICES
    )


def missing_tags(examples: Sequence[Example], class_ids: Sequence[int]) -> str | None:
    """What to tag before maps can be learned; None where there is enough."""
    if teachable(examples, class_ids):
        return None
    least = MIN_SLICES
    return (
        f"Tag at least {least} slices that hold a class and {least} that do not; training starts by itself."
    )
