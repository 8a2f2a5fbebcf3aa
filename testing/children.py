"""Python in a process of its own, with the paths of the one that runs the tests."""

import os
import subprocess
import sys
from typing import Any


def start(code: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start Python on `code`, with pipes to and from it; `variables` are set in its environment."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-uc", code, *arguments], env=environment, text=True, **pipes)


def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python on `code` until it ends."""
    with start(code, *arguments, **variables) as process:
        said, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)
