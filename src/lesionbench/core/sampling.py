"""Seeded choices that depend on ids and sizes alone, not on row order, platform or Python's hash seed."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd


def hash_order(ids: Iterable[Any], seed: int) -> list[Any]:
    """Sort `ids` into a random order fixed by `seed`: by the SHA-256 of seed and id.

    Examples:
        >>> hash_order(["a", "b", "c"], seed=42)
        ['c', 'a', 'b']
        >>> hash_order(["c", "b", "a"], seed=42)
        ['c', 'a', 'b']
    """
    return sorted(ids, key=lambda each: hashlib.sha256(f"{seed}:{each}".encode()).digest())


def by_size(sizes: Mapping[Any, int], seed: int) -> list[Any]:
    """Sort the keys of `sizes` (id → images), largest first; equal sizes are in a random order fixed by `seed`."""
    return sorted(hash_order(sizes, seed), key=lambda each: -sizes[each])


def quotas(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split the count `n` by `shares` (sum 1) into whole numbers, by largest remainder, each at least 1.

    Raises:
        ValueError: if n is smaller than the number of parts.
    """
    if n < len(shares):
        raise ValueError(f"{n} cannot be shared among {len(shares)} parts")
    counts = {part: max(1, int(n * share)) for part, share in shares.items()}
    while sum(counts.values()) != n:
        step = 1 if sum(counts.values()) < n else -1
        able = [part for part in counts if step > 0 or counts[part] > 1]
        counts[max(able, key=lambda part: step * (n * shares[part] - counts[part]))] += step
    return counts


def assign(units: pd.DataFrame, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Assign each unit to a part so that every stratum and every size is shared alike.

    Within a stratum, units are ordered by size (equal sizes at random) and dealt out one by one (systematic sampling).
    Each unit goes to the part that lies furthest below its share. With two or three parts, or with equal shares, no
    part is ever more than one unit off its share.

    scikit-learn's StratifiedGroupKFold is not used. For years its shuffle ignored stratification (its pull request
    32540, of 2025), and a fold may come out empty (its issue 34828).

    Args:
        units: index: unit ids; columns: `stratum` (str) and `size` (images in the unit).
        shares: part → share, summing to 1.
        seed: which of the equally good assignments.

    Returns:
        The part (str) of each unit, with the index of `units`.

    Raises:
        ValueError: naming every stratum that has fewer units than there are parts.

    Examples:
        >>> import pandas as pd
        >>> lesions = pd.DataFrame({"stratum": ["mel"] * 3, "size": [1, 2, 1]}, index=["l1", "l2", "l3"])
        >>> assign(lesions, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=1).to_dict()
        {'l1': 'test', 'l2': 'train', 'l3': 'val'}
    """
    parts: dict[Hashable, str] = {}
    few = {stratum: n for stratum, n in units.groupby("stratum", sort=True).size().items() if n < len(shares)}
    if few:
        found = ", ".join(f"{stratum} has {n}" for stratum, n in few.items())
        raise ValueError(f"{found}; allowed: {len(shares)} or more of each, one for each part")
    for _, members in units.groupby("stratum", sort=True):
        counts = quotas(len(members), shares)
        sizes: dict[Hashable, int] = members["size"].to_dict()
        dealt = dict.fromkeys(counts, 0)
        for i, unit in enumerate(by_size(sizes, seed), start=1):
            part = max(counts, key=lambda p: counts[p] * i / len(sizes) - dealt[p])
            dealt[part] += 1
            parts[unit] = part
    return pd.Series(parts, dtype=object).reindex(units.index)
