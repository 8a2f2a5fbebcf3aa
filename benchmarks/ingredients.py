"""What each ingredient of a recipe changes: it is switched on alone, and trained several times side by side.

    python -m benchmarks.small_copies pack FOLDER                # in a project with the real data; see there
    python -m benchmarks.ingredients train FOLDER --jobs 10      # FOLDER/out/<ingredient>/<split>-<seed>.npz and .json
    python -m benchmarks.ingredients table FOLDER                # docs/ingredients.csv, from what train left

benchmarks/ingredients.yaml names them; --spec names another file, such as benchmarks/backbones_gpu.yaml, which needs a
FOLDER of its own and is tabled under its own name. Nothing here needs DVC, MLflow or the internet. A training that has
its files is not repeated, so that a stopped run goes on. With --until SECONDS none starts later.
"""

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

SPEC = Path("benchmarks/ingredients.yaml")
BASE = "base"  # the ingredient that changes nothing


def configured(changes: dict[str, Any]) -> Any:
    """params.yaml with dotted keys changed."""
    from lesionbench import params

    raw = yaml.safe_load(Path("params.yaml").read_text())
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        (raw[section] if section else raw)[name] = value
    return params.Params.model_validate(raw)


def array(folder: Path, config: Any) -> Path:
    """The packed images of a configuration."""
    pixels = config.pixels
    return folder / f"pixels-{pixels.size}-{pixels.fit}-{pixels.colour}-{config.hair.method}.npy"


def pack(folder: Path, config: Any) -> None:
    """Pack the small copies as the stage pack packs images."""
    from lesionbench import pack
    from lesionbench.core.files import read_csv

    paths = [folder / "images" / name for name in read_csv(folder / "index.csv")["file"]]
    if config.hair.method != "none":
        paths = [without if (without := folder / "hairless" / path.name).exists() else path for path in paths]
    pack.pack_images(paths, config.pixels.size, array(folder, config), config.pixels.fit, config.pixels.colour)


def train(folder: Path, name: str, split_name: str, changes: dict[str, Any]) -> str:
    """Train once and write the logits of val, test and the external cohorts; return a line about it."""
    target = folder / "out" / name / f"{split_name}-{changes['seed']}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            told = _train(folder, target, split_name, configured(changes))
        except Exception as error:
            traceback.print_exc()
            return f"{target}: {error}"
    target.with_suffix(".json").write_text(json.dumps(told))
    return f"{target}: {told['seconds']:.0f} s, epoch {told['best_epoch']}, weights {told['weights'][:8]}"


def _train(folder: Path, target: Path, split_name: str, config: Any) -> dict[str, Any]:
    import cv2
    import numpy as np
    import torch

    from lesionbench.core import machine
    from lesionbench.core.files import read_csv
    from lesionbench.evidence import predictions
    from lesionbench.learn import augment, finished, training
    from lesionbench.networks import coding
    from lesionbench.networks.predict import predict

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    split, backbone = read_csv(folder / f"split-{split_name}.csv"), config.backbones[0]
    policy, pixels = augment.compile_policy(config.augment), array(folder, config)
    settings = config.train.of(backbone)
    inputs = finished.Inputs(config.tasks[0], backbone, config.seed, config.pixels, settings, policy, split, pixels)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as checkpoints:
        trained = training.make(inputs, "", Path(checkpoints))
    assert trained is not None
    seconds, made = time.monotonic() - begin, trained.made
    rows = predictions.scored_rows(split, True)
    known, device = coding.encode(split, made.coding), machine.device(settings.accelerator)
    logits = predict(made, np.load(pixels, mmap_mode="r"), rows, 256, device, config.evaluate.views, known)
    np.savez_compressed(target.with_suffix(".npz"), rows=rows.astype(np.int32), logits=logits)
    weights = hashlib.sha256(b"".join(each.cpu().numpy().tobytes() for each in made.network.state_dict().values()))
    told = {"seconds": seconds, "weights": weights.hexdigest(), "peak_bytes": torch.cuda.max_memory_allocated()}
    return {**told, "best_epoch": trained.results["best_epoch"], "history": trained.results["history"]}


def trainings(folder: Path, spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Ingredient, split and changes of each training that has no result yet, all of one seed before the next."""
    for split_name in spec["splits"]:
        for seed in spec["seeds"]:
            for name, changes in {BASE: {}, **spec["ingredients"]}.items():
                if not (folder / "out" / name / f"{split_name}-{seed}.json").exists():
                    yield name, split_name, {**spec["base"], **changes, "seed": seed}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["train", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spec", type=Path, default=SPEC)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--until", type=float, default=float("inf"))
    given = parser.parse_args()
    spec, begin = yaml.safe_load(given.spec.read_text()), time.monotonic()
    if given.what == "table":
        from benchmarks.ingredients_table import write

        write(given.folder, spec, Path("docs", given.spec.stem).with_suffix(".csv"))
        return
    left = list(trainings(given.folder, spec))
    for config in {array(given.folder, c): c for c in (configured(changes) for *_, changes in left)}.values():
        if not array(given.folder, config).exists():
            pack(given.folder, config)
    running: set[Any] = set()
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        while running or left:
            while left and len(running) < given.jobs:
                if time.monotonic() - begin > given.until:
                    print(f"not begun: {len(left)}")
                    left = []
                    break
                running.add(pool.submit(train, given.folder, *left.pop(0)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                print(f"{time.monotonic() - begin:.0f} s: {each.result()}", flush=True)


if __name__ == "__main__":
    main()
