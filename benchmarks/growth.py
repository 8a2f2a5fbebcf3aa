"""CPU time and memory of each data stage at three dataset sizes. Also writes docs/growth.csv and growth.svg."""

import os
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks import data
from lesionbench import figures, params
from lesionbench.core.files import read_csv, read_yaml, write_csv
from lesionbench.core.sampling import hash_order
from lesionbench.duplicates import pairs

STAGES = ("download", "index", "duplicates", "split", "remove_hair", "eda", "pack", "augment")
SIZES = (1_000, 10_015, 30_000)
SEARCHED = 10_015  # Images. Above this size the search for duplicates, 45 minutes, is skipped.


def grow(raw: Path, folder: Path, n: int) -> None:
    """Write `n` images to `folder`: those of `raw` in hash order, then copies with new ids and other bytes."""
    table = read_csv(raw / "metadata.csv").set_index("image_id", drop=False)
    ids = hash_order(table["image_id"], 0)
    (folder / "masks").mkdir(parents=True)
    rows = []
    for i in range(n):
        copy, old = i // len(ids), ids[i % len(ids)]
        row = table.loc[old].copy()
        row["image_id"], row["lesion_id"] = f"{old}_{copy}", f"{row['lesion_id']}_{copy}"
        image = raw / "images" / f"{old}.jpg"
        # The extra bytes hide the copy from the hair cache; decoders ignore bytes after the end of the image.
        (folder / f"{row['image_id']}.jpg").write_bytes(image.read_bytes() + b"\0" * copy)
        mask = raw / "masks" / f"{old}_segmentation.png"
        if mask.exists():
            (folder / "masks" / f"{row['image_id']}_segmentation.png").symlink_to(mask.resolve())
        rows.append(row)
    write_csv(folder / "metadata.csv", pd.DataFrame(rows))


def run(stage: str, folder: Path) -> tuple[float, float, float]:
    """Run a stage: CPU seconds of all its processes, wall seconds, and peak MiB of its largest process."""
    start = time.perf_counter()
    with (folder / f"{stage}.log").open("w") as log:
        process = data.start_stage(stage, folder, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{stage}: {(folder / f'{stage}.log').read_text()[-1000:]}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss / 1024


def identical_pairs(folder: Path) -> pd.DataFrame:
    """data/duplicates.csv without the search by content. Equal pixels identify the copies."""
    none = pd.DataFrame({"image_id_a": [], "image_id_b": [], "score": []}, dtype=object)
    published = read_csv(folder / "data/raw/duplicate_pairs.csv")
    return pairs.find_duplicates(
        read_csv(folder / "data/index.csv"), published, none, params.load("duplicates").duplicates
    )


def measure(raw: Path, sizes: tuple[int, ...]) -> pd.DataFrame:
    """One row per size and stage: images, stage, cpu_s, wall_s, peak_mib."""
    rows = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            grow(raw, folder / "mine", n)
            config = read_yaml("params.yaml")
            config["dataset"] |= {"source": "folder", "path": "mine", "max_lesions": None, "external": []}
            config["pixels"]["size"] = 224
            data.write_params(folder, config)
            for stage in STAGES:
                if stage == "duplicates" and n > SEARCHED:
                    write_csv(folder / "data/duplicates.csv", identical_pairs(folder))
                    continue
                rows.append((n, stage, *run(stage, folder)))
                print(*rows[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(rows, columns=["images", "stage", "cpu_s", "wall_s", "peak_mib"]).round(1)


@figures.styled
def draw(found: pd.DataFrame, what: str) -> None:
    """Draw time and memory by number of images, one line per stage, into docs/growth.svg."""
    figure, (left, right) = figures.new(9, 3.8, 1, 2)
    for (stage, rows), marker in zip(found.groupby("stage", sort=False), "osD^vPX*", strict=True):
        left.plot(rows["images"], rows["cpu_s"], marker=marker, label=stage)
        right.plot(rows["images"], rows["peak_mib"] / 1024, marker=marker, label=stage)
    left.set(xscale="log", yscale="log", title="Time", xlabel="images", ylabel="CPU time, s")
    ends = found["images"].agg(["min", "max"])
    left.plot(ends, ends / 100, color="grey", linestyle=":", label="linear: 10 ms an image")
    left.set(ylim=(1, 30_000), xticks=sorted(found["images"].unique()))  # room for the legend
    left.minorticks_off()
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_major_formatter("{x:,.0f}")
    right.set(title="Memory of the largest process", xlabel="images", ylabel="peak, GiB", ylim=(0, None))
    left.legend(fontsize=7, ncols=2)
    figure.suptitle(f"Growth of the data stages, {what}, 224 px", fontsize=10, fontweight="bold")
    figures.save(figure, Path("docs/growth.svg"))


def main() -> None:
    raw, real = data.images_folder()
    sizes = SIZES if real else (100, 200, 400)
    found = measure(raw, sizes)
    print(data.source(real, min(max(sizes), len(list((raw / "images").iterdir())))))
    print("Beyond that the same ones again under new ids, in other bytes. CPU time is of all cores together.\n")
    rows = []
    for stage, each in found.groupby("stage", sort=False):
        cpu, n = each["cpu_s"].to_numpy(), each["images"].to_numpy()
        told = [f"{t:.0f} s, {m:,.0f} MiB" for t, m in zip(cpu, each["peak_mib"], strict=True)]
        told += ["not run"] * (len(sizes) - len(told))
        rows.append((stage, *told, f"{(cpu[-1] - cpu[0]) / (n[-1] - n[0]) * 1000:.1f}"))
    print(data.table(("stage", *(f"{n:,} images" for n in sizes), "ms of CPU an image more"), rows))
    if real:
        write_csv(Path("docs/growth.csv"), found)
        draw(found, "HAM10000 and copies of it")
        print("![time and memory over the number of images](../docs/growth.svg)")


if __name__ == "__main__":
    main()
