"""Access to MLflow's store: a server, or a database in the project's root. Failures show within seconds."""

import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lesionbench.core import cache
from lesionbench.core.errors import UserError
from lesionbench.core.files import atomic
from lesionbench.core.root import root
from lesionbench.tracking.names import safe

ANSWER_WITHIN = 5  # Seconds to wait for a server's first answer.
LOCKED_FOR = 60  # Seconds at most to wait for another process that creates the database.
# Where MLflow's database says in which folder artefacts lie.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
# What a person has to do, by a pattern that finds the cause in a failure's message.
REMEDIES = {
    "error code 401": "it refuses the user or the password (401); set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD",
    "Invalid Host header": "it does not know this address as its own (403); MLFLOW_SERVER_ALLOWED_HOSTS on the server "
    "must name it",
    "too many 50[234] error": "a proxy before it answers, and MLflow itself does not (502, 503 or 504)",
    "413 Client Error": "a proxy before it takes no file of this size (413); in nginx, set client_max_body_size to 0",
    "(self-signed|local issuer) certificate": "its certificate is not trusted here; MLFLOW_TRACKING_SERVER_CERT_PATH "
    "may name a file that has it",
    "No module named 'psycopg": "PostgreSQL's driver is missing; set the address of an MLflow server, or pip install "
    "'psycopg[binary]'",
}


def failure(error: Exception) -> str:
    """One sentence about a failed store, without the password that the store's address may contain."""
    where = os.environ.get("MLFLOW_TRACKING_URI") or root() / "mlflow.db"
    whole = str(getattr(error.__cause__, "orig", error))  # the database's own message
    remedy = next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, whole)), "")
    text = whole.split(" Response body:", maxsplit=1)[0]
    cause = re.search(r"\(Caused by (.*)\)", text)
    reason = textwrap.shorten((cause[1] if cause else text).strip().split("\n")[0] or type(error).__name__, 200)
    return shown(f"MLflow at {where} was not updated: {remedy or reason}")


def shown(address: str) -> str:
    """A text with addresses, without the user and the password that they may contain."""
    return re.sub(r"://[^/\s]*@", "://", address)


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
        if shown(where) != where:  # MLflow prints the address of each run
            os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        _check_alive(where)
        return MlflowClient(where)
    # Two processes that create the database at the same time break each other's migrations.
    with lock():
        if where.startswith("sqlite:///"):
            _check_database(Path(where.removeprefix("sqlite:///")))
        elif where.startswith(("postgresql", "mysql")):
            _check_remote(where)
        client = MlflowClient(where)
        client.search_experiments(max_results=1)
    return client


def uri() -> str:
    """The store's address: $MLFLOW_TRACKING_URI or mlflow.db. A relative database path starts at the project's root."""
    found = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if found.startswith("sqlite:///"):  # DVC runs queued experiments in another folder
        return f"sqlite:///{root() / found.removeprefix('sqlite:///')}"
    if "://" not in found and found != "databricks":
        raise UserError("MLFLOW_TRACKING_URI is not an address; one looks like http://HOST:PORT")
    return found


def artifact_folder(experiment: str) -> str | None:
    """Where a new experiment keeps its artefacts: in mlruns/ beside the database, or where the server says (None)."""
    where = uri()
    if is_server(where):
        return None
    beside = Path(where.removeprefix("sqlite:///")).parent if where.startswith("sqlite:///") else root()
    return (beside / "mlruns" / safe(experiment)).as_uri()


def is_server(address: str) -> bool:
    """Whether the store is a server, which also keeps the models."""
    return address.startswith(("http://", "https://", "databricks"))


def is_there() -> bool:
    """Whether the store exists; of a server nobody asks."""
    where = uri()
    return not where.startswith("sqlite:///") or Path(where.removeprefix("sqlite:///")).exists()


def lock() -> Any:
    """A lock between processes, held to create the database or a run."""
    return cache.lock(root() / ".mlflow.lock", timeout=LOCKED_FOR)


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
        if path == root() / "mlflow.db":
            _find_artefacts(database)


def _check_remote(address: str) -> None:
    """Raise UserError within seconds if the database refuses or hangs; MLflow would retry for minutes.

    Raises ModuleNotFoundError if the database's driver is missing.
    """
    import sqlalchemy

    engine = sqlalchemy.create_engine(address, connect_args={"connect_timeout": ANSWER_WITHIN})
    try:
        engine.connect().close()
    except sqlalchemy.exc.DBAPIError as error:
        raise UserError("no connection") from error
    finally:
        engine.dispose()


def _find_artefacts(database: Any) -> None:
    """Let the database of a copied or moved project name the project's own mlruns/.

    MLflow keeps absolute paths, so a copy would read the models of the original, and write its own there.
    """
    places = database.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
    found = set()
    for number, name, place in places:
        before, _, last = str(place).rpartition("/mlruns/")
        if unquote(last) in (str(number), name, safe(name)):  # others are of the user's choice
            found.add(before)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    for before in found - {str(root()), root().as_uri()}:
        now = root().as_uri() if before.startswith("file:") else str(root())
        for table, column in PLACES:
            if table in tables:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE instr({column}, ?) = 1",
                    (now, len(before) + 1, f"{before}/mlruns/"),
                )
    database.commit()
