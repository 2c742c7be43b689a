"""What several routers of our own API share: the error body, types of fields. docs/api.md is the contract."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field

Time = str
"""ISO 8601 in UTC."""
Name = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=128)]
Text = Annotated[str, Field(max_length=400)]


class ErrorEntry(BaseModel):
    code: int
    message: str


class ErrorBody(BaseModel):
    """What went wrong, the limit, the value received and what to do."""

    error: ErrorEntry
    errors: list[ErrorEntry]
