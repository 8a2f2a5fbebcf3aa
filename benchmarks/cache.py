"""The hair cache after a kill at 60 %, with more images and with another parameter, and the memory used."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import pandas as pd
from joblib import cpu_count

from benchmarks import data
from lesionbench.core.files import read_yaml, sha256, write_csv

SMALL, ADDED = 300, 100


class Stage:
    """The stage remove_hair in its own folder, with its own cache."""

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder, self.cache = folder, folder / "cache"
        self.params = read_yaml("params.yaml")
        (folder / "data").mkdir()
        (folder / "metrics").mkdir()
        self.index(paths)

    def index(self, paths: list[Path]) -> None:
        """Write data/index.csv of these images."""
        rows = [(path.stem, str(path.resolve()), sha256(path)) for path in paths]
        write_csv(self.folder / "data/index.csv", pd.DataFrame(rows, columns=["image_id", "path", "sha256"]))

    def start(self) -> subprocess.Popen:
        """Start the stage with the current parameters."""
        data.write_params(self.folder, self.params)
        return data.start_stage("remove_hair", self.folder, stderr=subprocess.DEVNULL)

    def run(self) -> tuple[int, float, float]:
        """Run the stage: number of new entries, wall seconds, and peak memory of the largest process in MiB."""
        before, start = self.entries(), time.perf_counter()
        process = self.start()
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"remove_hair ended with status {status}")
        return len(self.entries() - before), time.perf_counter() - start, used.ru_maxrss / 1024

    def kill_at(self, count: int) -> int:
        """Start the stage, kill it with SIGKILL at `count` cache entries, and return the number of entries then."""
        process = self.start()
        while len(self.entries()) < count and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return len(self.entries())

    def entries(self) -> set[tuple[str, int]]:
        """The complete entries of the cache: name and time of writing in nanoseconds."""
        found = (self.cache / "hair").glob("*/[!.]*")
        return {(path.name, path.stat().st_mtime_ns) for path in found}


def main() -> None:
    folder, real = data.images_folder()
    paths = sorted((folder / "images").glob("*.jpg"))
    most = paths[:-ADDED]
    print(data.source(real, len(paths)), f"The stage itself, from an empty cache; threads: {cpu_count()}.\n")
    with tempfile.TemporaryDirectory() as temporary:
        stage = Stage(Path(temporary), most)
        kept = stage.kill_at(round(0.6 * len(most)))
        rows = [("killed with -9 at 60 %", f"{len(most):,}", f"{kept:,}", "", "")]

        def row(what: str, images: int) -> None:
            made, seconds, memory = stage.run()
            rows.append((what, f"{images:,}", f"{made:,}", f"{seconds:.1f}", f"{memory:.0f}"))

        row("run again", len(most))
        row("once more", len(most))
        stage.index(paths)
        row(f"{ADDED} images more", len(paths))
        stage.params["hair"]["threshold"] += 1
        row("hair.threshold changed", len(paths))
        stage.index(paths[:SMALL])
        stage.params["hair"]["threshold"] += 1
        row("few images, for their memory", min(SMALL, len(paths)))
    print(data.table(("", "images", "processed", "seconds", "peak MiB"), rows))
    print(f"Keyed by the image's SHA-256, section hair, the algorithm's version and OpenCV {cv2.__version__}.\n")


if __name__ == "__main__":
    main()
