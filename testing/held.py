"""A training that waits for a test: `python held.py pipeline/train.py TASK BACKBONE`, for $LAUNCH.

After each epoch it waits for as long as the file $HELD/<seed>-<epoch> exists, and says so by <seed>-<epoch>.waits.
"""

import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from lesionbench import params
from lesionbench.tracking.runs import TrainingRun

log_epoch = TrainingRun.log_epoch


def wait(run: TrainingRun, epoch: int, metrics: dict[str, Any]) -> None:
    log_epoch(run, epoch, metrics)
    file = Path(os.environ["HELD"], f"{params.load('seed').seed}-{epoch}")
    while file.exists():
        file.with_suffix(".waits").touch()
        time.sleep(0.05)


TrainingRun.log_epoch = wait  # type: ignore[assignment,method-assign]
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
