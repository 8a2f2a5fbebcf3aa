"""How many of the known pairs the candidate search still meets among more and more images.

    PYTHONPATH=src python -m benchmarks.recall FOLDER SIZE...

Run this by hand in a project whose stage duplicates has run, on real images. FOLDER keeps the features (57 KB an image)
and planted copies; a second run goes on there. Distractors are added to the project's images: their mirror images
first, then, in turn, stretched ones and phantoms, with the mirror images of these. None is of a lesion whose pairs are
looked for.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.near_duplicates import combination
from lesionbench import images
from lesionbench.core.files import atomic, read_csv, write_bytes
from lesionbench.core.parallel import for_each
from lesionbench.core.process import prepare
from lesionbench.core.sampling import hash_order
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.duplicates import features, search
from lesionbench.sources.phantom import CAMERAS, photograph
from lesionbench.sources.phantom_lesions import draw_lesion

PLANTED, PART, ASKED = 200, 500, 400  # Copies; images in a file of features; other images that are queries too.
# Times the search's own neighbours and candidates; cells that are searched, or None for its own number.
TIMES = ((1, 1, None), (0.5, 1, 6), (1, 1, 6), (1, 2, 6), (1, 1, 12), (1, 1, 24))


def stretched(path: str, seed: int) -> features.Features:
    """Describe a crop of an image that is mirrored, and stretched so that no similarity carries one onto the other."""
    rng, image = np.random.default_rng(seed), images.read_rgb(path)
    rows, columns = image.shape[:2]
    high, wide = (int(side * rng.uniform(0.45, 0.6)) for side in (rows, columns))
    high = int(high * rng.uniform(0.55, 0.7))
    top, left = rng.integers(rows - high + 1), rng.integers(columns - wide + 1)
    grey = cv2.cvtColor(image[top : top + high, left : left + wide], cv2.COLOR_RGB2GRAY)
    return features.describe_grey(cv2.flip(cv2.resize(grey, (400, 300)), 1))


def phantom(seed: int) -> features.Features:
    """Describe a drawn lesion, each another."""
    rng = np.random.default_rng([seed, 1])
    drawn = draw_lesion(DIAGNOSES[seed % len(DIAGNOSES)], rng)
    image = photograph(*drawn, list(CAMERAS.values())[seed % len(CAMERAS)], rng)[0]
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Path(file.name).write_bytes(images.encode(".png", image))
        return features.describe(file.name)


def parts(folder: Path, name: str, function: Callable[..., features.Features], arguments: list) -> Iterator[Path]:
    """Files of features of PART images each; one that is there is not made again."""
    for start in range(0, len(arguments), PART):
        path = folder / f"{name}-{start // PART:04d}.npz"
        if not path.exists():
            some = arguments[start : start + PART]
            found = list(for_each(function, some, path.stem, len(some)))
            with atomic(path) as partial:
                counts = [len(each.points) for each in found]
                points, descriptors = map(np.concatenate, zip(*found, strict=True))
                np.savez(partial, counts=counts, points=points, descriptors=descriptors)
        yield path


def read(path: Path, flipped: bool = False) -> Iterator[features.Features]:
    """The features of the images of a part."""
    with np.load(path) as part:
        all_, ends = features.Features(part["points"], part["descriptors"]), np.cumsum(part["counts"])[:-1]
    both = features.mirror(all_) if flipped else all_
    yield from map(features.Features, np.split(both.points, ends), np.split(both.descriptors, ends))


def targets(index: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images in order, with those of target pairs first and planted copies next; and the pairs, by their ids."""
    threshold = 0.4
    known = read_csv("data/duplicates.csv")
    known = known[known["score"].ge(threshold) & known["score"].lt(1)][["image_id_a", "image_id_b"]]
    in_pairs = {*known["image_id_a"], *known["image_id_b"]}
    originals = [name for name in hash_order(index["image_id"], 3) if name not in in_pairs][:PLANTED]
    paths, rows = index.set_index("image_id")["path"], []
    for i, name in enumerate(originals):
        path = folder / "planted" / f"{name}.jpg"
        if not path.exists():
            image = combination(images.read_rgb(paths[name]), np.random.default_rng(i))
            write_bytes(path, images.encode(".jpg", image))
        rows.append({"image_id": f"planted {name}", "lesion_id": f"planted {name}", "path": str(path)})
    first = index["image_id"].isin(in_pairs | set(originals))
    rest = index[~first].set_index("image_id").loc[hash_order(index.loc[~first, "image_id"], 4)].reset_index()
    table = pd.concat([index[first], pd.DataFrame(rows), rest], ignore_index=True)
    planted = pd.DataFrame({"image_id_a": originals, "image_id_b": [f"planted {name}" for name in originals]})
    return table, pd.concat([known.assign(kind="known"), planted.assign(kind="planted")], ignore_index=True)


def confirmed(pairs: pd.DataFrame, table: pd.DataFrame, described: features.Described) -> pd.DataFrame:
    """The pairs, as positions a and b, that the verification takes for one lesion (the search can but meet them)."""
    at = pd.Series(table.index, table["image_id"])
    kept = pairs.assign(a=at[pairs["image_id_a"]].to_numpy(), b=at[pairs["image_id_b"]].to_numpy())
    score = [
        max(search.verify(table["path"][a], table["path"][b], described[a], described[b], way) for way in (False, True))
        for a, b in kept[["a", "b"]].itertuples(index=False)
    ]
    return kept[np.array(score) >= 0.4]


def memory() -> float:
    """MiB of this process, without files that are mapped."""
    told = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(told["RssAnon"].split()[0]) / 1024


def measure(
    described: features.Described, lesions: np.ndarray, pairs: pd.DataFrame, before: float
) -> Iterator[tuple[object, ...]]:
    """One row per rule. `before` is the memory before any size was searched, as freed memory stays with the process."""
    first = int(pairs[["a", "b"]].max().max()) + 1
    start = time.process_time()
    index = search.Index(described)
    built = time.process_time() - start
    usual = search.NEIGHBOURS, search.CANDIDATES
    own = *usual, index.index.nprobe
    # Where the search's own number of cells is one of the others, a rule comes once.
    rules = dict.fromkeys((round(own[0] * more), own[1] * wider, cells or own[2]) for more, wider, cells in TIMES)
    for search.NEIGHBOURS, search.CANDIDATES, index.index.nprobe in rules:
        start, asked = time.process_time(), pairwise([*range(0, first + ASKED, search.BATCH), first + ASKED])
        found = pd.concat([index.best(i, j, lesions, np.ones(len(lesions), bool)) for i, j in asked])
        spent = (time.process_time() - start) / (first + ASKED) * 1000
        met = set(found[["query", "target"]].itertuples(index=False, name=None))
        hit = pd.Series([(a, b) in met or (b, a) in met for a, b in pairs[["a", "b"]].itertuples(index=False)])
        by_kind = hit.groupby(pairs["kind"].to_numpy()).agg(["sum", "size"])
        others = found["query"].ge(first).sum() / ASKED
        recall = [f"{by_kind['sum'][kind]} of {by_kind['size'][kind]}" for kind in ("known", "planted")]
        rule = index.index.nlist, index.index.nprobe, search.neighbours(len(described)), search.CANDIDATES
        yield (
            len(described),
            *rule,
            *recall,
            f"{others:.2f}",
            f"{spent:.1f}",
            f"{built:.0f}",
            f"{memory() - before:.0f}",
        )
    search.NEIGHBOURS, search.CANDIDATES = usual


def main(folder: Path, sizes: list[int]) -> None:
    prepare()
    folder.mkdir(parents=True, exist_ok=True)
    table, pairs = targets(read_csv("data/index.csv")[["image_id", "lesion_id", "path"]], folder)
    paths = [(path,) for path in table["path"]]
    own = list(parts(folder, "own", features.describe, paths))
    of_pairs = table.loc[table["image_id"].isin({*pairs["image_id_a"], *pairs["image_id_b"]}), "lesion_id"]
    other = ~table["lesion_id"].isin(of_pairs)
    source = table.loc[other, "path"].to_list()
    more = max(0, max(sizes) - len(table) - len(source)) // 4
    more = PART * -(-more // PART)  # whole parts, as a part that is there is not made again
    changed = parts(folder, "stretched", stretched, [(source[i % len(source)], i) for i in range(more)])
    drawn = parts(folder, "phantom", phantom, [(i,) for i in range(more)])
    print("| images | cells | searched | neighbours | candidates | known | planted | others | ms | build, s | MiB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")

    def everything() -> Iterator[features.Features]:
        for path in own:
            yield from read(path)
        mirrored = (each for path in own for each in read(path, flipped=True))
        yield from (each for each, wanted in zip(mirrored, other, strict=True) if wanted)
        for both in zip(changed, drawn, strict=True):
            for path in both:
                yield from read(path)
                yield from read(path, flipped=True)

    with tempfile.TemporaryFile(dir=folder) as file:
        described = features.Described(everything(), file)
        if len(described) < max(sizes):
            raise SystemExit(f"{folder} gives {len(described)} images of {max(sizes)}; empty it")
        sought, before = confirmed(pairs, table, described), memory()
        codes = table["lesion_id"].astype("category").cat.codes.to_numpy()
        lesions = np.concatenate([codes, codes.max() + 1 + np.arange(len(described) - len(codes))])
        counts, ends = described.counts, described.ends
        for size in sizes:
            described.counts, described.ends = counts[:size], ends[: size + 1]
            for row in measure(described, lesions[:size], sought, before):
                print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sorted(map(int, sys.argv[2:])))
