"""How MLflow's store is reached: a server, or a database in the project's root; found out in seconds if it fails."""

import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from lesionbench.errors import UserError
from lesionbench.files import atomic

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Every failure comes as an exception too, which is told in one sentence.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
# MLflow's own choice, seven retries of two minutes each, holds a training up for a quarter of an hour.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

ANSWER_WITHIN = 5  # seconds, for a server's first sign of life
LOCKED_FOR = 60  # seconds at most that another process may take to make the database


def failure(error: Exception) -> str:
    """One sentence about a store that failed, without the password that its address may hold."""
    where = os.environ.get("MLFLOW_TRACKING_URI") or root() / "mlflow.db"
    text = str(getattr(error.__cause__, "orig", error)).split(" Response body:")[0]  # a database's own words
    cause = re.search(r"\(Caused by (.*)\)", text)
    reason = textwrap.shorten((cause[1] if cause else text).strip().split("\n")[0] or type(error).__name__, 200)
    return re.sub(r"://[^/\s]*@", "://", f"MLflow at {where} was not updated: {reason}")


def warn(error: Exception) -> None:
    """Say on standard error that the store failed, and what makes up for it."""
    print(f"warning: {failure(error)} (`make track` does it later)", file=sys.stderr, flush=True)


def connect() -> Any:
    """A client of $MLFLOW_TRACKING_URI, or of mlflow.db in the project's root, where plain `mlflow ui` looks."""
    import logging

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    where = uri()
    from mlflow.tracking import MlflowClient

    if is_server(where):
        _check_alive(where)
        return MlflowClient(where)
    # Two processes that create the database together break each other's migrations.
    with lock():
        if where.startswith("sqlite:///"):
            _check_database(Path(where.removeprefix("sqlite:///")))
        client = MlflowClient(where)
        client.search_experiments(max_results=1)
    return client


def root() -> Path:
    """The project's root, in a queued experiment too."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def uri() -> str:
    """The store's address: MLFLOW_TRACKING_URI, a relative database in the root; mlflow.db there without it."""
    found = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if found.startswith("sqlite:///"):  # an experiment in DVC's queue has another working directory
        return f"sqlite:///{root() / found.removeprefix('sqlite:///')}"
    if "://" not in found and found != "databricks":
        raise UserError("MLFLOW_TRACKING_URI is not an address; one looks like http://HOST:PORT")
    return found


def is_server(address: str) -> bool:
    """Whether the store is reached through a server, which keeps the models too."""
    return address.startswith(("http://", "https://", "databricks"))


def lock() -> Any:
    """A lock that one process at a time can hold: to make the database, or a run."""
    from filelock import FileLock

    return FileLock(root() / ".mlflow.lock", timeout=LOCKED_FOR)


def _check_alive(address: str) -> None:
    """A server that is down or hangs is found out in seconds, where a request proper would wait for its time-out."""
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
    """A file that SQLite can't open is found out at once, where MLflow tries for two minutes; a new one is made whole.

    MLflow can't go on with a database that a killed process has half made.
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
