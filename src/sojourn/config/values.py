"""Owns what a single setting may be: kinds of numbers, times, names and paths, and how each is refused."""

from __future__ import annotations

import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator


def _not_a_boolean(value: object) -> object:
    # pydantic would take `true` for 1.0, which is never what somebody meant by a time or a port.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a boolean")
    return value


def _home(value: object) -> object:
    if value == "":
        raise ValueError("the path is empty")
    return Path(value).expanduser() if isinstance(value, str) else value


def _time_or_root(value: object) -> float | Literal["root"]:
    if value == "root":
        return "root"
    try:
        number = float(typing.cast("str", value))
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise ValueError("a positive number of seconds is needed, or 'root': the limit of the first job")
    return number


def _cron(value: object) -> object:
    if isinstance(value, str):
        from cronsim import CronSim, CronSimError

        try:
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                "a cron expression is needed: minute, hour, day, month and weekday, such as '0 4 * * *' "
                f"({error or 'it never comes true'})"
            ) from None
    return value


Number = Annotated[float, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
Positive = Annotated[float, BeforeValidator(_not_a_boolean), Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, BeforeValidator(_not_a_boolean), Field(ge=0, le=1e9, allow_inf_nan=False)]
Schedule = Annotated[str, BeforeValidator(_cron)]
TimeOrRoot = Annotated[float | Literal["root"], PlainValidator(_time_or_root)]
Program = Literal["sampler", "estimator", "executor", "noise-learner", "noise-learner-v3", "calibrate"]
Folder = Annotated[Path, BeforeValidator(_home)]
Title = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
SYSTEM = "system"
"""No project or user may be called so: the service's own jobs and their usage are shown under it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
