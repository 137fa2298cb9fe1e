"""Types that several routes take; those of the protocol are in annotator/protocol/incoming.py."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ClassId = Annotated[int, Field(ge=1, le=253)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
ShortName = Annotated[str, Field(max_length=40)]  # of a learner, ranker, adapter or rule; empty for none
Search = Annotated[str, Field(max_length=200)]
JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
BatchId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class RequestBody(BaseModel):
    """The JSON of a request: no other fields, nothing converted."""

    model_config = ConfigDict(strict=True, extra="forbid")
