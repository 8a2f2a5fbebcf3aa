"""Servers on this machine for as long as a test needs them: an S3 bucket, PostgreSQL, and MLflow on both."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer


def free_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def s3(bucket: str) -> Iterator[str]:
    """The address of an S3 server with an empty bucket. Credentials for it are in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
            patch.delenv(name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket=bucket)
        yield url
        server.stop()


def pg_ctl() -> Path | None:
    """The program that starts PostgreSQL, which Debian does not put on the path; None where there is none."""
    found = shutil.which("pg_ctl")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return Path(found).resolve() if found else debian[-1] if debian else None


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database. PostgreSQL runs as nobody where the test runs as root, which it refuses."""
    program = pg_ctl()
    assert program is not None
    nobody = pwd.getpwnam("nobody")
    other: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    as_user = other if os.getuid() == 0 else {}
    port = free_port()
    # Not below pytest's folder, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if as_user:
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)

        def call(*command: object) -> None:
            done = subprocess.run(
                [*map(str, command)], cwd=folder, check=False, capture_output=True, text=True, **as_user
            )
            assert done.returncode == 0, done.stderr

        data = folder / "data"
        try:
            call(program.parent / "initdb", "-D", data, "-U", "mlflow", "--auth=trust", "--no-sync")
        except PermissionError:
            pytest.skip("PostgreSQL refuses root, and root may become no other user here")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        call(program, "start", "-D", data, "--wait", "-l", folder / "log", "-o", options)
        yield f"postgresql+psycopg://mlflow@127.0.0.1:{port}/postgres"
        call(program, "stop", "-D", data, "-m", "immediate")


class Tracking:
    """An MLflow server that can be killed and started again at the same address."""

    def __init__(self, folder: Path, **variables: str) -> None:
        """`variables` tell the server where its database and its files are."""
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        # Seven processes for language models would take more time than all the rest.
        variables |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.environment = {**os.environ, **variables}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            own: dict[str, Any] = {"cwd": self.folder, "env": self.environment, "process_group": 0}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **own)
        until = time.monotonic() + 180
        while not self.answers():
            hopeless = self.process.poll() is not None or time.monotonic() > until
            assert not hopeless, (self.folder / "server.log").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        """Whether the server is up."""
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """End all processes of the server at once, as a machine without power does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
