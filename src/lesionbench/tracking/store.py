"""Access to MLflow's store: a server, or a database in the project's root. Failures show within seconds."""

import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from lesionbench.core.errors import UserError
from lesionbench.core.files import atomic

ANSWER_WITHIN = 5  # Seconds to wait for a server's first answer.
LOCKED_FOR = 60  # Seconds at most to wait for another process that creates the database.


def failure(error: Exception) -> str:
    """One sentence about a failed store, without the password that the store's address may contain."""
    where = os.environ.get("MLFLOW_TRACKING_URI") or root() / "mlflow.db"
    text = str(getattr(error.__cause__, "orig", error)).split(" Response body:")[0]  # the database's own message
    cause = re.search(r"\(Caused by (.*)\)", text)
    reason = textwrap.shorten((cause[1] if cause else text).strip().split("\n")[0] or type(error).__name__, 200)
    return re.sub(r"://[^/\s]*@", "://", f"MLflow at {where} was not updated: {reason}")


def warn(error: Exception) -> None:
    """Print on standard error that the store failed and how to update the store later."""
    print(f"warning: {failure(error)} (`make track` does it later)", file=sys.stderr, flush=True)


def connect() -> Any:
    """A client of $MLFLOW_TRACKING_URI, or of mlflow.db in the project's root, where plain `mlflow ui` looks.

    Raises:
        UserError: if the address is invalid or the server does not answer.
        sqlite3.Error, MlflowException, filelock.Timeout: if the database cannot be used.
    """
    import logging

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    where = uri()
    from mlflow.tracking import MlflowClient

    if is_server(where):
        _check_alive(where)
        return MlflowClient(where)
    # Two processes that create the database at the same time break each other's migrations.
    with lock():
        if where.startswith("sqlite:///"):
            _check_database(Path(where.removeprefix("sqlite:///")))
        client = MlflowClient(where)
        client.search_experiments(max_results=1)
    return client


def root() -> Path:
    """The project's root, also within a queued DVC experiment, which runs in another folder."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def uri() -> str:
    """The store's address: $MLFLOW_TRACKING_URI or mlflow.db. A relative database path starts at the project's root."""
    found = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if found.startswith("sqlite:///"):  # DVC runs queued experiments in another folder
        return f"sqlite:///{root() / found.removeprefix('sqlite:///')}"
    if "://" not in found and found != "databricks":
        raise UserError("MLFLOW_TRACKING_URI is not an address; one looks like http://HOST:PORT")
    return found


def is_server(address: str) -> bool:
    """Whether the store is a server, which also keeps the models."""
    return address.startswith(("http://", "https://", "databricks"))


def lock() -> Any:
    """A lock between processes, held to create the database or a run."""
    from filelock import FileLock

    return FileLock(root() / ".mlflow.lock", timeout=LOCKED_FOR)


def _check_alive(address: str) -> None:
    """Raise UserError within seconds if the server is down or hangs; a normal request would wait for its timeout."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    creds = get_default_host_creds(address)
    try:
        http_request(creds, "/health", "GET", max_retries=0, timeout=ANSWER_WITHIN, raise_on_status=False)
    except Exception as error:
        cause: BaseException = error
        while cause.__context__:
            cause = cause.__context__
        raise UserError(f"no answer ({cause})") from error


def _check_database(path: Path) -> None:
    """Raise sqlite3.Error at once if SQLite cannot open the database; MLflow would retry for two minutes.

    A missing database is created under another name first: MLflow cannot use one that a killed process left incomplete.
    """
    import sqlite3
    from contextlib import closing

    if not path.exists():
        from mlflow.tracking import MlflowClient

        with atomic(path) as partial:
            partial.unlink(missing_ok=True)
            MlflowClient(f"sqlite:///{partial}").search_experiments(max_results=1)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA schema_version")
