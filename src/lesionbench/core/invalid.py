"""What pydantic finds wrong, in words for people: one line a key; and models of a part of their keys."""

import reprlib
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def lines(error: ValidationError, key: Callable[[Any], str], explain: Callable[[Any], str]) -> list[str]:
    """One line a key, with all that is wrong there.

    Args:
        error: what pydantic raised.
        key: gives a fault's key; "" leaves the fault out.
        explain: says what is wrong and what is allowed.
    """
    found: dict[str, list[str]] = {}
    for fault in error.errors():
        if name := key(fault):
            found.setdefault(name, []).append(explain(fault))
    return [f"{name}: {'; or '.join(told)}" for name, told in found.items()]


def explain(fault: Any, known: Sequence[str]) -> str:
    """What is wrong with a key that a person wrote, and what is allowed. `known` are the keys allowed beside it."""
    kind, found, message = fault["type"], fault["input"], fault["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "key is missing"
    if kind == "extra_forbidden":
        near = get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"unknown key{f'; did you mean {near[0]}?' if near else ''}"
    if kind == "model_type":
        message = "this is a section: write its keys below it, indented"
    elif kind == "string_pattern_mismatch":
        allowed = fault["ctx"]["pattern"].strip("^$()").replace("|", ", ")
        message = "allowed: " + allowed.replace("timm:[A-Za-z0-9_.]+", "timm:<name>").replace("/.+", "/<file>")
    message = message.removeprefix("Input ").removeprefix("String ").removeprefix("List ")
    if isinstance(found, str):
        message += _meant(found, kind)
    return f"found {_SHORT.repr(found)}: {message}" if not isinstance(found, dict) else message


def unchecked(model: type[BaseModel], raw: dict[str, Any]) -> Any:
    """A `model`, with those in it, of the values in `raw`, which need not hold all keys; nothing is checked."""
    values = {}
    for name, value in raw.items():
        kind = model.model_fields[name].annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        values[name] = unchecked(kind, value) if nested else value  # type: ignore[arg-type]
    return model.model_construct(**values)


def _meant(found: str, kind: str) -> str:
    """A hint what to write instead of the text `found`, or ""."""
    if found in ("None", "Null", "none"):
        return "; for no value write null"
    if kind == "list_type":
        return f"; write [{found}]"
    try:
        number = f"{Decimal(found):f}" if kind in ("int_type", "float_type") and len(found) < 12 else ""
    except (InvalidOperation, ValueError):
        return ""
    # Written in full: some YAML parsers read 1e-3 as text.
    return f"; write {number}, without quotes" if number and len(number) < 20 else ""
