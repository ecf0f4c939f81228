"""What all settings have in common: their base, the words that several of them take, and how they say what does not go together."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

DocType: TypeAlias = Literal["reference", "tutorial", "guide", "example", "changelog", "message", "other"]
Severity: TypeAlias = Literal["critical", "error", "warning"]


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def conflict(allowed: str, *fields: str) -> PydanticCustomError:
    """Say that settings which are right one by one do not go together.

    Args:
        allowed: What the first field may be, given the others; stands after "allowed is".
        fields: The fields concerned, the one to change first.
    """
    return PydanticCustomError("conflict", "{fields}: allowed is {allowed}", {"allowed": allowed, "fields": fields})


def unusable(allowed: str) -> PydanticCustomError:
    """Say that a value of the right type cannot be used; `allowed` stands after "allowed is"."""
    return PydanticCustomError("unusable", "allowed is {allowed}", {"allowed": allowed})
