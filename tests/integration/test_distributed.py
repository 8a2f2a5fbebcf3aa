"""Two processes train as one does: the same batches, losses, metrics and weights, and a kill leaves no trace.

Each process is forked from one that has loaded PyTorch, with the variables that torchrun would set.
"""

import json
import math
import signal
import socket
from pathlib import Path
from typing import Any

import children
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from small_training import draw_pixels

from lesionbench.networks import model_file

ROOT = Path(__file__).parents[2]
TRAIN, VAL = 48, 23  # an odd number on which to validate: one process has an image more
EPOCHS, BATCH = 3, 11  # shares of 6 and 5 images

FORK = """
import json, os, signal, sys
from pathlib import Path
from lesionbench.core import process
process.prepare()
import pandas as pd, torch
from lesionbench import params
from lesionbench.core import errors
from lesionbench.learn import callbacks, classifier, finished, training
from small_training import POLICY, SIZE, small_section

torch.set_num_threads(1)
callbacks.CHECKPOINT_EVERY = 0
folder, root, port, runs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), eval(sys.argv[4])

def train(name, rank, dies, changes):
    section = small_section(root).model_copy(update={"weights": "none", **changes})
    packed = params.Pixels(size=SIZE, fit="squash", colour="none")
    split = pd.read_csv(folder / "split.csv")
    inputs = finished.Inputs("melanoma", "timm:test_convnext", 7, packed, section, POLICY, split, folder / "pixels.npy")
    seeded = classifier.Classifier.on_train_batch_start
    def die(module, batch, number):
        if rank == dies and (module.current_epoch, number) == (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)
        seeded(module, batch, number)
    classifier.Classifier.on_train_batch_start = die
    trained = training.make(inputs, "key", folder / "checkpoints" / name)
    if trained is not None:
        trained.save(folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps(trained.results))

for number, (name, world, dies, changes) in enumerate(runs):
    started = []
    for rank in range(world):
        pid = os.fork()
        if pid == 0:
            if world > 1:
                told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
                told |= {"GROUP_RANK": 0, "GROUP_WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": name}
                told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port + number}
                os.environ.update({key: str(value) for key, value in told.items()})
            said = os.open(folder / f"{number}_{rank}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 2)
            sys.argv = ["train.py"]
            process.run(lambda: train(name, rank, dies, {"devices": world, **changes}))
        started.append(pid)
    print(*(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started), flush=True)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, two, and two of which one was killed and then both started again."""
    folder = tmp_path_factory.mktemp("distributed")
    draw_pixels(folder / "pixels.npy")
    np.save(folder / "pixels.npy", np.load(folder / "pixels.npy")[: TRAIN + VAL])
    dx = ["nv" if n % 3 else "mel" for n in range(TRAIN + VAL)]
    split = pd.DataFrame({"image_id": range(TRAIN + VAL), "dx": dx, "split": ["train"] * TRAIN + ["val"] * VAL})
    split.to_csv(folder / "split.csv", index=False)
    changes = {"batch_size": BATCH, "epochs": EPOCHS, "learning_rate": 0.001}
    runs = [("one", 1, None, changes), ("two", 2, None, changes), ("cut", 2, 1, changes), ("cut", 2, None, changes)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = children.run(FORK, str(folder), str(ROOT), str(port), repr(runs), LESIONBENCH_CACHE=str(folder / "cache"))
    (folder / "status").write_text(done.stdout)
    assert done.returncode == 0, done.stderr
    return folder


def results(ran: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ran / f"{name}.json").read_text())
    return found


def weights(ran: Path, name: str) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(ran / f"{name}.safetensors")


def test_two_processes_give_the_weights_of_one(ran: Path) -> None:
    one, two = weights(ran, "one"), weights(ran, "two")
    assert one.keys() == two.keys()
    assert max(np.abs(one[name] - two[name]).max() for name in one) < 1e-4


def test_two_processes_give_the_metrics_of_one(ran: Path) -> None:
    """On an odd number of images, each of which counts once."""
    one, two = results(ran, "one")["history"], results(ran, "two")["history"]
    assert len(one) == len(two) == EPOCHS
    for row, other in zip(one, two, strict=True):
        assert row.keys() == other.keys()
        assert all(math.isclose(row[name], other[name], abs_tol=5e-5) for name in row), (row, other)


def test_the_others_end_with_a_sentence_when_one_is_killed(ran: Path) -> None:
    assert (ran / "status").read_text().splitlines() == ["0", "0 0", f"1 {-signal.SIGKILL}", "0 0"]
    said = (ran / "2_0.err").read_text()
    assert said.endswith(
        "error: another process of this training ended; run the same command again to resume from the last checkpoint\n"
    )
    assert "Traceback" not in said


def test_what_was_killed_goes_on_to_the_same_bytes(ran: Path) -> None:
    assert "resuming from" in (ran / "3_0.err").read_text()
    assert (ran / "cut.safetensors").read_bytes() == (ran / "two.safetensors").read_bytes()
    assert results(ran, "cut") == results(ran, "two")


def test_the_model_file_does_not_tell_how_many_trained(ran: Path) -> None:
    """In a network without dropout and batch normalisation it makes no difference."""
    kept = [model_file.read_metadata(ran / f"{name}.safetensors")["settings"] for name in ("one", "two")]
    assert kept[0] == kept[1]
    assert (kept[0]["devices"], kept[0]["strategy"]) == ("auto", "auto")
