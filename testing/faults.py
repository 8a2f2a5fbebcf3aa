"""A good dataset, what can be done to it, and the stages run on that. For test_faults.py."""

import contextlib
import functools
import hashlib
import io
import os
import runpy
import socket
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from mini_pipeline import dump_yaml, read_yaml
from PIL import Image

from lesionbench.core import files, process
from lesionbench.sources import download

ROOT = Path(__file__).resolve().parents[1]
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
LINES = [f"L{n},I{n},{'nv' if n % 2 else 'mel'},histo,{30 + n},male,back,rosendahl" for n in range(1, 9)]
Plant = Callable[[Path], Any]


def good(here: Path) -> None:
    """A folder dataset of eight lesions with one image each, and params that suit it."""
    mine, rng = here / "data/mine", np.random.default_rng(0)
    (mine / "masks").mkdir(parents=True)
    (mine / "metadata.csv").write_text("\n".join([HEADER, *LINES]) + "\n")
    for n in range(1, 9):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(mine / f"I{n}.jpg")
    Image.new("L", (40, 30)).save(mine / "masks/I1.png")
    (here / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    settings(**{"dataset.source": "folder"})(here)


# What can be done to it: each of these gives a function of the project's folder.


def settings(**values: Any) -> Plant:
    """As `dvc exp run -S key=value` does."""

    def plant(here: Path) -> None:
        config = read_yaml(here / "params.yaml")
        for key, value in values.items():
            section, _, name = key.rpartition(".")
            (config[section] if section else config)[name] = value
        dump_yaml(config, here / "params.yaml")

    return plant


def text(path: str, change: Callable[[str], str | bytes]) -> Plant:
    def plant(here: Path) -> None:
        found = change((here / path).read_text(encoding="utf-8"))
        (here / path).write_bytes(found.encode() if isinstance(found, str) else found)

    return plant


metadata = functools.partial(text, "data/mine/metadata.csv")
params = functools.partial(text, "params.yaml")


def image(change: Callable[[Path], Any]) -> Plant:
    return lambda here: change(here / "data/mine/I3.jpg")


def mine(**contents: bytes) -> Plant:
    """Further files in the user's folder."""

    def plant(here: Path) -> None:
        for name, content in contents.items():
            files.write_bytes(here / "data/mine" / name, content)

    return plant


def no_table(here: Path) -> None:
    (here / "data/mine/metadata.csv").unlink()


def ham_table(here: Path) -> None:
    (here / "data/mine/metadata.csv").rename(here / "data/mine/HAM10000_metadata.tab")


def both(first: Plant, second: Plant) -> Plant:
    def plant(here: Path) -> None:
        first(here)
        second(here)

    return plant


def resave(mode: str, form: str = "JPEG") -> Plant:
    return image(lambda path: Image.open(path).convert(mode).save(path, format=form))


def cut(path: str, size: int) -> Plant:
    return lambda here: (here / path).write_bytes((here / path).read_bytes()[:size])


def sixteen_bits(here: Path) -> None:
    (here / "data/mine/I3.jpg").unlink()
    cv2.imwrite(str(here / "data/mine/I3.png"), np.zeros((30, 40, 3), np.uint16))


def external(name: str) -> Plant:
    def plant(here: Path) -> None:
        folder = here / "data/mine/external" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(folder / "E1.jpg")
        (folder / "labels.csv").write_text("image_id,dx\nE1,nv\n")

    return plant


def cohort(change: Callable[[str], str], image: str = "E1") -> Plant:
    """Changes the labels of the cohort outer, and gives its image another name."""

    def plant(here: Path) -> None:
        text("data/mine/external/outer/labels.csv", change)(here)
        folder = here / "data/mine/external/outer"
        (folder / "E1.jpg").rename(folder / f"{image}.jpg")

    return plant


def mirror(member: str = "I2.jpg", data: bytes = b"x", flags: int = 0, sums: Callable[[str], str] = str) -> Plant:
    """A local mirror of HAM10000 whose second part holds `member`."""

    def plant(here: Path) -> None:
        folder = here / "mirror"
        folder.mkdir()
        (folder / "HAM10000_metadata.csv").write_text(f"{HEADER}\n")
        parts = {"HAM10000_images_part_1": "I1.jpg", "HAM10000_images_part_2": member}
        parts["HAM10000_segmentations_lesion_tschandl"] = "I1_segmentation.png"
        for name, inner in parts.items():
            with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo(inner), data if inner == member else b"x", zipfile.ZIP_DEFLATED)
        part = folder / "HAM10000_images_part_2.zip"
        content = bytearray(part.read_bytes())
        content[content.rindex(b"PK\x01\x02") + 8] |= flags
        part.write_bytes(content)
        lines = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.iterdir())]
        (folder / "MD5SUMS").write_text(sums("\n".join(lines)))
        settings(**{"dataset.source": "ham10000", "dataset.mirror": "mirror"})(here)

    return plant


def server(status: int | None) -> Plant:
    """A mirror on a server that answers every request with `status`, or on none."""

    def plant(here: Path) -> Callable[[], None]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_error(status or 500)

            def log_message(self, *_: Any) -> None:
                pass

        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        stop: Callable[[], None] = lambda: None  # noqa: E731
        if status is not None:
            running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            port, stop = running.server_port, running.shutdown
            threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        settings(**{"dataset.source": "ham10000", "dataset.mirror": f"http://127.0.0.1:{port}"})(here)
        return stop

    return plant


def ready_to_train(here: Path) -> None:
    np.save(here / "data/pixels.npy", np.zeros((8, 80, 80, 3), np.uint8))
    files.write_json(here / "data/augmentation.json", [])
    rows = [f"I{n},L{n},L{n},mine,{'nv' if n % 2 else 'mel'},{'train' if n < 5 else 'val'}" for n in range(1, 9)]
    (here / "data/split.csv").write_text("\n".join(["image_id,lesion_id,group_id,cohort,dx,split", *rows, ""]))


def weights(name: str, content: bytes | dict | None) -> Plant:
    def plant(here: Path) -> None:
        ready_to_train(here)
        (here / "weights").mkdir()
        if isinstance(content, bytes):
            (here / "weights" / name).write_bytes(content)
        elif content is not None:
            from safetensors.numpy import save_file

            save_file(content, here / "weights" / name)
        settings(**{"train.weights": f"weights/{name}"})(here)

    return plant


@contextlib.contextmanager
def project(plant: Plant) -> Iterator[Path]:
    """The good dataset with a fault planted, in a folder that is made the working one."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), mock.patch.object(download, "BACKOFF", 0):
        environment = {"LESIONBENCH_CACHE": f"{folder}/.cache", "NO_PROXY": "127.0.0.1", "HOME": folder}
        with mock.patch.dict(os.environ, environment):
            good(Path())
            stop = plant(Path())
            try:
                yield Path(folder)
            finally:
                if callable(stop):
                    stop()


def run(stage: str, *arguments: str) -> str:
    """What a stage says when it fails; "" when it ends well."""
    script = str(ROOT / "pipeline" / f"{stage}.py")
    main = runpy.run_path(script)["main"]
    said = io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch("os._exit", sys.exit),
        mock.patch.object(sys, "argv", [script, *arguments]),
    ):
        try:
            process.run(main)
        except SystemExit as end:
            status = end.code
    if status == 0:
        return ""
    if status != 1:
        raise AssertionError(f"exit status {status}, expected 1")
    return said.getvalue()[said.getvalue().index("error: ") :].rstrip("\n")
