"""Nearest training lesions: scikit-learn's neighbours, one image a lesion, and agreement by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from scores import seeds, share_held
from sklearn.neighbors import NearestNeighbors

from lesionbench import results
from lesionbench.evidence import neighbours


def draw(seed: int, n: int, features: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, features)).astype(np.float32)


@given(seed=seeds)
def test_the_nearest_are_scikit_learn_s_where_each_image_is_a_lesion(seed: int) -> None:
    own, train = draw(seed, 9), draw(seed + 1, 40)
    rows, far = neighbours.nearest(own, train, np.arange(40), k=4)
    how_far, theirs = NearestNeighbors(n_neighbors=4, metric="cosine").fit(train).kneighbors(own)
    assert (rows == theirs).all()
    assert far == pytest.approx(how_far, abs=1e-6)


@given(seed=seeds)
def test_of_each_lesion_the_nearest_image_alone_is_taken(seed: int) -> None:
    own, train = draw(seed, 7), draw(seed + 1, 60)
    groups = np.random.default_rng(seed).integers(0, 12, 60)
    rows, _ = neighbours.nearest(own, train, groups, k=3)
    every = np.concatenate([*neighbours.distances(own, train)])
    for i, found in enumerate(rows):
        best = pd.Series(every[i]).groupby(groups).min().nsmallest(3)
        assert groups[found].tolist() == best.index.tolist()
        assert every[i][found].tolist() == best.tolist()


def test_many_rows_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    own, train = draw(0, 11), draw(1, 20)
    whole = neighbours.nearest(own, train, np.arange(20))
    monkeypatch.setattr(neighbours, "ROWS", 4)
    assert (neighbours.nearest(own, train, np.arange(20))[0] == whole[0]).all()


def test_fewer_lesions_than_asked_for_are_all_taken() -> None:
    rows, far = neighbours.nearest(draw(0, 3), draw(1, 6), np.array([0, 0, 0, 1, 1, 1]), k=3)
    assert rows.shape == far.shape == (3, 2)
    assert neighbours.nearest(draw(0, 0), draw(1, 6), np.arange(6), k=3)[0].shape == (0, 3)


def test_a_row_of_zeros_is_as_far_from_all() -> None:
    (far,) = neighbours.distances(np.zeros((1, 6)), draw(1, 5))
    assert far.tolist() == [[1.0] * 5]


def test_agreement_by_hand() -> None:
    """Of two lesions of each image: 2, 1 and 0 of nv's, 1 of mel's are the same; chance is the share of lesions."""
    train = pd.DataFrame({"dx": ["nv", "nv", "nv", "mel", "df"], "group_id": ["a", "a", "b", "c", "d"]})
    found = np.array([[0, 2], [2, 3], [3, 4], [3, 2]])
    dx, groups = np.array(["nv", "nv", "nv", "mel"]), np.array(["w", "x", "y", "z"])
    told = neighbours.agreement(found, dx, train, groups, 0, 0)
    assert told == {
        "n": 4,
        "nearest": 2,
        "same": pytest.approx((1 + 0.5 + 0 + 0.5) / 4),
        "same_chance": pytest.approx((3 * 0.5 + 0.25) / 4),
        "balanced": pytest.approx((0.5 + 0.5) / 2),
        "balanced_chance": pytest.approx((0.5 + 0.25) / 2),
        "first": 0.75,
    }


def test_neighbours_at_random_agree_by_chance() -> None:
    """The chance lies in the intervals, of features that know nothing; and far below them, of those that do."""
    rng = np.random.default_rng(3)
    shares = [0.6, 0.25, 0.15]
    train = pd.DataFrame({"dx": rng.choice(["nv", "mel", "df"], 900, p=shares), "group_id": np.arange(900).astype(str)})
    dx, groups = rng.choice(["nv", "mel", "df"], 600, p=shares), np.arange(600) // 2
    dx = dx[groups * 2]
    blind = neighbours.nearest(draw(1, 600), draw(2, 900), train["group_id"].to_numpy())[0]
    told = neighbours.agreement(blind, dx, train, groups, 200, 0)
    results.Neighbours.model_validate(told)
    for name in ("same", "balanced"):
        assert told[f"{name}_ci"][0] < told[f"{name}_chance"] < told[f"{name}_ci"][1]
    place = {"nv": 0, "mel": 1, "df": 2}
    own, other = (
        draw(k, len(each)) + 2.5 * np.eye(6)[[place[name] for name in each]] for k, each in ((3, dx), (4, train["dx"]))
    )
    seeing = neighbours.nearest(own, other, train["group_id"].to_numpy())[0]
    told = neighbours.agreement(seeing, dx, train, groups, 200, 0)
    assert told["same_ci"][0] > told["same_chance"] + 0.1


def test_intervals_of_agreement_hold_the_truth_in_19_of_20() -> None:
    """Each lesion has a chance of its own that a neighbour has its diagnosis: 0.85, 0.5 or 0.3 on average."""
    names, lesions, rate = np.array(["nv", "mel", "df"]), np.array([150, 40, 15]), np.array([0.85, 0.5, 0.3])
    train = pd.DataFrame({"dx": names, "group_id": names})
    truth = {"same": lesions @ rate / lesions.sum(), "balanced": rate.mean()}
    truth["first"] = truth["same"]
    drawn = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        of_lesion = np.repeat(np.arange(3), lesions)
        lesion = np.repeat(np.arange(len(of_lesion)), rng.integers(1, 4, len(of_lesion)))
        chance = rng.beta(4 * rate[of_lesion], 4 * (1 - rate[of_lesion]))[lesion]
        dx = of_lesion[lesion][:, None]
        found = np.where(rng.random((len(lesion), 3)) < chance[:, None], dx, (dx + 1) % 3)
        told = neighbours.agreement(found, names[dx[:, 0]], train, lesion, 60, seed)
        drawn.append(told)
    often = share_held(truth, drawn)
    assert min(often.values()) >= 0.89, often
    assert max(often.values()) < 1, often
