"""Files that appear complete or not at all, and the cache that no output depends on."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from lesionbench.errors import UserError

TEXT = ("image_id", "lesion_id", "group_id", "image_id_a", "image_id_b", "dx_type", "localization", "source")
NUMERIC = ("age", "score")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` on success, remove it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
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
