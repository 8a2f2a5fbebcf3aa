"""Files that appear complete or not at all, and the cache that no output depends on."""

import hashlib
import io
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lesionbench.errors import UserError

TEXT = (
    *("image_id", "lesion_id", "group_id", "image_id_a", "image_id_b"),
    *("cohort", "dx_type", "localization", "source"),
)
NUMERIC = ("age", "score")


@contextmanager
def atomic(path: str | Path, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` on success, remove it on failure.

    What a killed process leaves under that name is overwritten by the next one that writes `path`. With `shared`
    several threads and processes may write one path at once; then the name is each one's own, and leftovers stay.
    """
    path = Path(path)
    if not path.parent.is_dir():  # quicker asked than made again
        path.parent.mkdir(parents=True, exist_ok=True)
    own = f"{os.getpid()}-{threading.get_ident()}." if shared else ""
    partial = path.with_name(f".{path.name}.{own}partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        # Unlike a failed open, a failed write doesn't know its file.
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time use `folder`; the others wait. The lock ends with the process, killed or not."""
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another process that uses {folder}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        # The file stays: of those who wait for a deleted one, two could go on at once.
        lock.release()


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(data)


def write_json(path: str | Path, data: Any) -> None:
    """Write JSON with two-space indent; NaN and infinity raise ValueError, as JSON has neither."""
    write_bytes(path, (json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Read a JSON file that a stage wrote."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); `dvc repro` makes it anew") from None


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV with LF line ends and no index; missing values are blank."""
    with atomic(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table that a stage wrote: TEXT stays text, blanks are "" but in the numeric columns NUMERIC."""
    data = Path(path).read_bytes()
    if not data.endswith(b"\n"):
        raise UserError(f"{path} is cut short; `dvc repro` makes it anew")
    blanks = {name: [""] for name in NUMERIC}
    return pd.read_csv(io.BytesIO(data), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=blanks)


class OneOfEachKey(yaml.SafeLoader):
    """Safe YAML in which a key stands once: PyYAML would take the last one and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in first:
                problem = f"the key {key.value} stands here and in line {first[key.value]}; leave one of them out"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            first[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of the user's; raises UserError naming the line where it is not right."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), OneOfEachKey)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist here; run from the project's root") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise UserError(f"{path} is not UTF-8 text: line {line} has the byte 0x{byte:02x}") from None
    except yaml.MarkedYAMLError as error:
        reason = (error.problem or "").replace("found character '\\t' that cannot", "found a tab, which cannot")
        if error.context_mark is not None and error.context:
            reason += f" ({error.context} that begins in line {error.context_mark.line + 1})"
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise UserError(f"{path} is not valid YAML{where}: {reason}") from None
    except Exception as error:  # on odd values PyYAML lets ValueError, KeyError, RecursionError and more through
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cache_dir(name: str) -> Path:
    """The folder `name` of the undeclared cache: $LESIONBENCH_CACHE, or .cache under DVC_ROOT or here."""
    root = os.environ.get("LESIONBENCH_CACHE") or Path(os.environ.get("DVC_ROOT", ".")) / ".cache"
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_old(folder: Path, days: float = 30) -> None:
    """Remove the entries of a cache folder to which nothing was written for `days`: what is never asked for again."""
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # another process may remove its own meanwhile
            if time.time() - entry.stat().st_mtime <= days * 86_400:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
