"""params.yaml as a table: each key with its value and the comment that stands behind it."""

import io
import re
from typing import Any, NamedTuple

from ruamel.yaml import YAML

UNBROKEN = 1_000_000  # characters a line


class Section(NamedTuple):
    """A section of params.yaml. `rows` are (key, value as YAML, comment); keys outside any section have no `name`."""

    name: str
    comment: str
    rows: list[tuple[str, str, str]]


def sections(text: str) -> list[Section]:
    """The sections of params.yaml in their order; the first holds the keys outside of any.

    Args:
        text: the file, which is valid, of two levels at most, and whose trailing comments explain the keys.
    """
    explained, yaml = comments(text), YAML(typ="safe")
    yaml.default_flow_style, yaml.width = True, UNBROKEN
    found = [Section("", "", [])]
    for key, value in yaml.load(text).items():
        if isinstance(value, dict):
            rows = [(name, _as_yaml(yaml, each), explained.get((key, name), "")) for name, each in value.items()]
            found.append(Section(key, explained.get((key, ""), ""), rows))
        else:
            found[0].rows.append((key, _as_yaml(yaml, value), explained.get((key, ""), "")))
    return found


def comments(text: str) -> dict[tuple[str, str], str]:
    """The trailing comments of params.yaml by (section, key); of a section or a lone key by (name, "").

    Args:
        text: the file. A comment begins at the first # with a blank before it. Lines deeper than a section's keys,
            as train.overrides may have them, are left out.
    """
    found, section, level = {}, "", 0
    for line in text.splitlines():
        if match := re.match(r"( *)([\w-]+):(?:.*?\s#\s?(.*))?", line):
            indent, key, comment = match.groups()
            section, level = (section, level or len(indent)) if indent else (key, 0)
            if len(indent) > level:
                continue
            found[section, key if indent else ""] = (comment or "").strip()
    return found


def _as_yaml(yaml: YAML, value: Any) -> str:
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue().strip().removesuffix("...").strip()
