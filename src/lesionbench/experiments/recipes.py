"""Recipes: named sets of parameters, read from files like params.yaml and handed to `dvc exp run` as its options -S."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lesionbench import params
from lesionbench.core.errors import UserError
from lesionbench.core.files import read_yaml
from lesionbench.experiments.tables import read_text


def read(name: str, folder: str | Path = "recipes") -> list[str]:
    """The overrides of a recipe, as -S takes them, in Hydra's grammar: "pixels.size=192", …

    A value that is a mapping, such as train.overrides, is merged with what params.yaml has there.

    Args:
        name: of a file in `folder`, without its suffix.
        folder: holds a YAML file a recipe, in sections as params.yaml, with the keys that differ from it.

    Raises:
        UserError: if there is no such recipe, or if it holds no keys.
    """
    known = sorted(path.stem for path in Path(folder).glob("*.yaml"))
    if name not in known:
        raise UserError(f"there is no recipe {name!r}; allowed: {', '.join(known) or 'none, as the folder is empty'}")
    path = Path(folder) / f"{name}.yaml"
    recipe = read_yaml(path)
    if not isinstance(recipe, dict) or not recipe:
        raise UserError(f"{path} holds no keys; write those of params.yaml that differ, in their sections")
    flat = _flat(recipe)
    return [f"{'++' if isinstance(value, Mapping) else ''}{key}={_text(value)}" for key, value in flat.items()]


def uncommitted(overrides: Sequence[str], path: str = "params.yaml") -> list[str]:
    """What params.yaml holds beside the commit and the overrides, such as "train.epochs: 5 (committed: 3)".

    A `dvc exp run` without --temp or --queue leaves its values there, and they count in the next one too.
    """
    then = _flat(YAML(typ="safe").load(read_text("HEAD", path) or "") or {})
    said = {each.lstrip("+~").partition("=")[0] for each in overrides}
    return [
        f"{key}: {value} (committed: {then[key]})"
        for key, value in _flat(read_yaml(path)).items()
        if key in then and value != then[key] and key not in said
    ]


def check(overrides: Sequence[str], name: str, path: str | Path = "params.yaml") -> list[params.Params]:
    """The parameters that `dvc exp run` would use with these overrides; several where they ask for a grid.

    Args:
        overrides: as -S takes them, for `path`; of two for one key the last one holds.
        name: what the overrides are called in an error.
        path: params.yaml, which stays as it is.

    Raises:
        UserError: as params.load does, or if an override names no key or is not in Hydra's grammar.
    """
    return [_applied(each, name, Path(path)) for each in _grid(overrides)]


def _grid(overrides: Sequence[str]) -> Iterator[list[str]]:
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    for override in overrides:
        if not override.lstrip("+~").partition("=")[0]:
            raise UserError(f"-S {override!r} names no key; allowed: -S KEY=VALUE, such as -S train.epochs=5")
        try:
            get_hydra_sweeps({"": [override]})
        except (DvcException, HydraException) as error:
            raise UserError(
                f"-S {override}: this is not in Hydra's grammar ({str(error).splitlines()[0]}); a text with blanks or "
                "any of ,=()[]&# stands in double quotes, within single quotes: -S 'dataset.path=\"/data/A (neu)\"'"
            ) from None
    yield from (each[""] for each in get_hydra_sweeps({"": [*overrides]}))


def _applied(overrides: Sequence[str], name: str, path: Path) -> params.Params:
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides
    from omegaconf.errors import OmegaConfBaseException

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "params.yaml"
        try:
            # With ++ an unknown key gets in, and is told in the words that any other fault is told in.
            apply_overrides(shutil.copyfile(path, copy), [e if e[0] in "+~" else f"++{e}" for e in overrides])
            found = params.load(*params.Params.model_fields, path=copy)
            apply_overrides(shutil.copyfile(path, copy), [*overrides])
            return found
        except (DvcException, OmegaConfBaseException, KeyError) as error:
            raise UserError(f"{name}: {' '.join(str(error.__cause__ or error).split())}") from None
        except UserError as error:
            raise UserError(str(error).replace(str(copy), name)) from None


def _flat(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each dotted key, such as "train.epochs", of the content of params.yaml or a recipe."""
    found: dict[str, Any] = {}
    for name, content in sections.items():
        inner = content.items() if isinstance(content, Mapping) else None
        found |= {name: content} if inner is None else {f"{name}.{key}": value for key, value in inner}
    return found


def _text(value: Any) -> str:
    """A value in Hydra's grammar, in which a key of a mapping may not be quoted, but a colon in it may be escaped."""
    if isinstance(value, Mapping):
        inner = [str(key).replace(":", "\\:") + f":{_text(each)}" for key, each in value.items()]
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int | float) else _quoted(str(value))


def _quoted(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    plain = text.replace("_", "").isalnum() and text.isascii() and text[0].isalpha()
    words = ("null", "true", "false", "nan", "inf")
    return text if plain and text.lower() not in words else QuotedString(text, Quote.double).with_quotes()
