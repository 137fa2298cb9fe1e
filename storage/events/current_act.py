"""Which act the rows that this thread writes belong to; none for a person's own strokes."""

from contextvars import ContextVar

current_act: ContextVar[int | None] = ContextVar("current_act", default=None)
