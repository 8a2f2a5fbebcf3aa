"""Reading and writing of files. A written file appears complete or not at all."""

import hashlib
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from lesionbench.core.errors import UserError

TEXT = (
    *("image_id", "lesion_id", "patient_id", "group_id", "image_id_a", "image_id_b"),
    *("cohort", "dx_type", "localization", "source"),
)
NUMERIC = ("age", "score")


@contextmanager
def atomic(path: str | Path, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path`. On success its file is renamed to `path`, on failure removed.

    A killed process leaves its temporary file, which the next writer of `path` overwrites. With `shared`, several
    threads and processes may write `path` at once. Each has a temporary name of its own then, and leftovers stay.

    Raises:
        OSError: if the file cannot be written; `filename` is `path`.
    """
    path = Path(path)
    if not path.parent.is_dir():  # asking is faster than mkdir
        path.parent.mkdir(parents=True, exist_ok=True)
    own = f"{os.getpid()}-{threading.get_ident()}." if shared else ""
    partial = path.with_name(f".{path.name}.{own}partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        # A failed write, unlike a failed open, does not name its file.
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`. On success this is renamed to `folder`, on failure removed.

    What a killed run left under the temporary name is removed first.

    Raises:
        UserError: if `folder` exists and is not empty, or if any OSError (such as a full disk) occurs meanwhile.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is there already and is not empty; remove it first")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(data)


def write_json(path: str | Path, data: Any) -> None:
    """Write JSON with an indent of two spaces.

    Raises:
        ValueError: for NaN and infinity, which JSON lacks.
    """
    write_bytes(path, (json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Read a JSON file that a stage wrote.

    Raises:
        UserError: if the file is missing or is not valid JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); `dvc repro` makes it anew") from None


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV with LF line ends and no index; missing values are blank."""
    with atomic(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table that a stage wrote.

    Columns named in TEXT are str. A blank cell is NaN in the columns named in NUMERIC, and "" in all others.

    Raises:
        UserError: if the file is missing, or was cut short: its last line has no line end.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None
    if not data.endswith(b"\n"):
        raise UserError(f"{path} is cut short; `dvc repro` makes it anew")
    blanks = {name: [""] for name in NUMERIC}
    return pd.read_csv(io.BytesIO(data), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=blanks)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of the user's with DVC's own parser, ruamel.yaml.

    Raises:
        UserError: if the file is missing, unreadable, not UTF-8 or not valid YAML. The line is named where known.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return YAML(typ="safe").load(text)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist here; run from the project's root") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise UserError(f"{path} is not UTF-8 text: line {line} has the byte 0x{byte:02x}") from None
    except MarkedYAMLError as error:
        raise UserError(f"{path} is not valid YAML{_tell(error, text)}") from None
    except Exception as error:  # odd values raise ValueError, KeyError, RecursionError and more in the parser
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def _tell(error: Any, text: str) -> str:
    """Say where in `text` a MarkedYAMLError lies, and what is wrong there."""
    reason, mark = error.problem or "", error.problem_mark
    if twice := re.match(r'found duplicate key "(.*?)"', reason):
        reason = f"the key {twice[1]} stands here for the second time; leave one of them out"
    elif mark is not None and text[mark.index : mark.index + 1] == "\t":
        reason = "found a tab; indent with spaces"
    if error.context_mark is not None and error.context and not twice:
        reason += f" ({error.context} that begins in line {error.context_mark.line + 1})"
    return f"{f', line {mark.line + 1}' if mark is not None else ''}: {reason}"


def local(path: str) -> Path:
    """Return the file or folder that a person named: `~` is the home folder, and a file:// URL is a path.

    Raises:
        UserError: if a URL names another machine, or is none of file://.
    """
    scheme, host, inner, *_ = urlsplit(path) if "://" in path else ("", "", "")
    if scheme == "file" and host in ("", "localhost"):
        return Path(unquote(inner))
    if scheme:
        raise UserError(
            f"{path} is not on this machine; allowed: a path or file:///PATH, and for dataset.mirror http(s)://"
        )
    return Path(os.path.expanduser(path))


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
