"""What the models of results are made of: reading, writing, and fields that say what they hold."""

import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lesionbench.core import files, invalid
from lesionbench.core.errors import list_faults

T = TypeVar("T")
UNION = re.compile(r"(int|float)$|function-")  # the names that pydantic gives the types of a union
Model = TypeVar("Model", bound=BaseModel)


def write(path: str | Path, found: BaseModel) -> None:
    """Write one of these models as JSON, whole or not at all."""
    files.write_json(path, found.model_dump(exclude_unset=True))


def read(kind: type[Model], path: str | Path) -> Model:
    """Read the JSON at `path` as a `kind`; UserError lists each key that is wrong, what was found and is allowed."""
    try:
        return kind.model_validate(files.read_json(path))
    except ValidationError as error:
        # Behind a key stand the names that pydantic gives the types of a union.
        told = invalid.lines(
            error,
            lambda fault: ".".join(str(part) for part in fault["loc"] if not UNION.match(str(part))) or "the file",
            _explain,
        )
        raise list_faults(f"{path} is not as results.{kind.__name__} says; `dvc repro` makes it anew", told) from None


def _explain(fault: Any) -> str:
    if fault["type"] in ("missing", "extra_forbidden"):
        return "key is missing" if fault["type"] == "missing" else "unknown key"
    return f"found {reprlib.repr(fault['input'])}: {fault['msg'].removeprefix('Value error, ')}"


def number(meaning: str, low: float | None = None, high: float | None = None) -> Any:
    """A number from `low` to `high`, both included; its unit stands in `meaning`."""
    limits = "any" if low is None else f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
    return Field(ge=low, le=high, description=f"{meaning} ({limits})")


def count(meaning: str, low: int = 0) -> Any:
    """A whole number."""
    return number(meaning, low)


def share(meaning: str) -> Any:
    """A number from 0 to 1."""
    return number(meaning, 0, 1)


def fact(meaning: str) -> Any:
    """What is no number."""
    return Field(description=meaning)


def maybe(meaning: str) -> Any:
    """What is absent where there is none."""
    return Field(default=None, description=f"{meaning}; absent where there is none")


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("what there is none of is left out, not null")
    return value


def ordered(bounds: list[float]) -> list[float]:
    """Check that the lower bound comes first."""
    if bounds[0] > bounds[1]:
        raise ValueError("the lower bound comes first")
    return bounds


def keys(*allowed: tuple[str, ...], optional: tuple[str, ...] = ()) -> AfterValidator:
    """A check that a dictionary has the keys of one of `allowed`, in their order, but for `optional` ones."""

    def check(value: dict[str, T]) -> dict[str, T]:
        if not any(list(value) == [k for k in each if k in value or k not in optional] for each in allowed):
            known = ", or ".join(" ".join(each) for each in allowed)
            raise ValueError(f"its keys are {' '.join(value)}; allowed, in this order: {known}")
        return value

    return AfterValidator(check)


Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Maybe = Annotated[T | None, BeforeValidator(_not_null)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(ordered)]
Ci = Annotated[Maybe[Interval], Field(description="its 95 % interval, [low, high]; absent where there is none")]


class Section(BaseModel):
    """No key may be added, NaN and infinity don't exist, and what was found doesn't change."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    def plain(self) -> dict[str, Any]:
        """The same as plain dictionaries and lists; what is absent stays absent."""
        return self.model_dump(exclude_unset=True)


class Numbers(Section):
    """Numbers by name, None where one is undefined. Beside some stands `<name>_ci`, their 95 % interval."""

    def value(self, name: str) -> float | None:
        """The number `name`."""
        return self.values()[name]

    def ci(self, name: str) -> list[float] | None:
        """The interval of the number `name`, [low, high]; None where there is none."""
        return None if self.value(name) is None else getattr(self, f"{name}_ci", None)

    def values(self) -> dict[str, float | None]:
        """All numbers by name, without their intervals and p-values."""
        beside = {f"{name}{kind}" for name in type(self).model_fields for kind in ("_ci", "_p", "_p_holm")}
        found = {name: value for name, value in self if name in self.model_fields_set - beside}
        return {name: value for name, value in found.items() if isinstance(value, int | float | None)}
