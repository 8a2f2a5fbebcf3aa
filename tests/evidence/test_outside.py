"""Images unlike those of training: Sun's score, a threshold of val alone, and areas that are scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import norm
from scores import share_held
from sklearn import metrics as sk
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from lesionbench import results
from lesionbench.evidence import outside


def draw(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    middle = np.array([2, *[0] * 6, 3 * shift])
    return np.random.default_rng(seed).normal(middle, 1, (n, 8))


def test_the_distance_is_that_of_sun_2022_but_for_a_root() -> None:
    """Theirs is Euclidean, of features of length 1, to the k-th nearest of training."""
    own, train = draw(0, 50), draw(1, 200)
    neighbours = NearestNeighbors(n_neighbors=outside.NEIGHBOUR).fit(normalize(train))
    theirs = neighbours.kneighbors(normalize(own))[0][:, -1]
    found = outside.distance(own, train)
    assert np.sqrt(2 * found) == pytest.approx(theirs, abs=1e-4)
    assert outside.distance(own[:0], train).shape == (0,)
    few = outside.distance(own, train[:3])  # the farthest of three
    assert few == pytest.approx((1 - normalize(own) @ normalize(train[:3]).T).max(axis=1), abs=1e-6)


@pytest.mark.parametrize("n", [1, 19, 20, 83, 1500])
def test_at_most_a_twentieth_of_val_is_flagged(n: int) -> None:
    scores = np.random.default_rng(n).random(n)
    limit = outside.threshold(scores)
    assert (scores > limit).mean() <= 0.05 < (scores >= limit).mean() + 1e-9


def tables(test_seed: int = 2) -> tuple[pd.DataFrame, outside.Seen, dict[str, outside.Seen], np.ndarray]:
    """200 images of val, 300 of test and 80 of a clinic whose images differ somewhat, 30 that differ much."""
    train = draw(0, 400)
    features = np.concatenate([draw(1, 200), draw(test_seed, 300), draw(3, 80, 1.5)])
    rows = pd.DataFrame({"split": ["val"] * 200 + ["test"] * 300 + ["external"] * 80})
    rows["cohort"], rows["shown"] = np.where(rows["split"].eq("external"), "clinic", "own"), rows["split"].eq("test")
    rows["label"] = np.random.default_rng(5).choice(["nv", "mel"], len(rows))
    groups = np.arange(len(rows)) // 2
    seen = outside.see(features, features[:, :3], groups, train)
    odd = draw(4, 30, -4)
    return rows, seen, {"odd": outside.see(odd, odd[:, :3], np.arange(30), train)}, train


def test_what_is_flagged_and_told_apart() -> None:
    rows, seen, strange, _ = tables()
    found = outside.examine(rows, seen, strange, 200, 0)
    results.Outside.model_validate(found)
    assert list(found["parts"]) == ["test", "clinic"]
    test = found["parts"]["test"]
    assert test["n"] == 300
    assert test["roc_auc"] is test["roc_auc_unsure"] is None
    assert 0 < test["flagged_ci"][0] < test["flagged"] < test["flagged_ci"][1] < 0.2
    assert found["parts"]["clinic"]["flagged"] > test["flagged"]
    assert found["strangers"]["odd"]["flagged"] > 0.5
    is_test = rows["shown"].to_numpy()
    for part, scores in (
        (found["parts"]["clinic"], rows["cohort"].eq("clinic").to_numpy()),
        (found["strangers"]["odd"], None),
    ):
        for name, kind in (("roc_auc", "distance"), ("roc_auc_unsure", "unsure")):
            own = getattr(seen, kind)[scores] if scores is not None else getattr(strange["odd"], kind)
            usual = getattr(seen, kind)[is_test]
            truth = np.repeat([1, 0], [len(own), len(usual)])
            assert part[name] == pytest.approx(sk.roc_auc_score(truth, np.concatenate([own, usual])))
    melanoma = is_test & rows["label"].eq("mel").to_numpy()
    assert found["melanomas_flagged"] == (seen.distance[melanoma] > found["threshold"]).mean()


def test_about_a_twentieth_of_like_images_is_flagged() -> None:
    """Exchangeable with val's 200, so 10 of 201 on average, or 11 of them."""
    train = draw(0, 100)
    shares = []
    for seed in range(1, 61):
        scores = outside.distance(draw(seed, 400), train)
        shares.append((scores[200:] > outside.threshold(scores[:200])).mean())
    assert np.mean(shares) == pytest.approx(10.5 / 201, abs=4 * np.std(shares) / np.sqrt(60))


def of_lesions(rng: np.random.Generator, lesions: int, shift: float) -> outside.Seen:
    """Both scores normal, by `shift` and half of it higher; a lesion has one to three images that are alike."""
    lesion = np.repeat(np.arange(lesions), rng.integers(1, 4, lesions))
    noise = rng.normal(0, np.sqrt(0.6), (2, lesions))[:, lesion] + rng.normal(0, np.sqrt(0.4), (2, len(lesion)))
    return outside.Seen(shift + noise[0], shift / 2 + noise[1], lesion.astype(str))


def test_intervals_hold_the_truth_in_19_of_20() -> None:
    """Of both areas and of the share flagged, which are known of normal scores; twelve lesions are few."""
    limit, shift = norm.isf(0.05), 1.2
    truth = {"roc_auc": norm.cdf(shift / np.sqrt(2)), "roc_auc_unsure": norm.cdf(shift / 2 / np.sqrt(2))}
    truth["flagged"] = norm.sf(limit - shift)
    drawn = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        told = outside.flagged(of_lesions(rng, 12, shift), limit, of_lesions(rng, 150, 0), 60, seed)
        drawn.append(told)
    often = share_held(truth, drawn)
    assert min(often.values()) >= 0.89, often
    assert max(often.values()) < 1, often


def test_the_threshold_is_of_val_alone() -> None:
    """Neither test's labels nor its images move it; val's images do."""
    rows, seen, strange, train = tables()
    limit = outside.examine(rows, seen, strange, 0, 0)["threshold"]
    mixed = rows.assign(label=rows["label"].sample(frac=1, random_state=0).to_numpy())
    assert outside.examine(mixed, seen, strange, 0, 0)["threshold"] == limit
    assert outside.examine(*tables(test_seed=9)[:3], 0, 0)["threshold"] == limit
    other = outside.see(draw(8, 580), draw(8, 580)[:, :3], np.arange(580), train)
    assert outside.examine(rows, other, strange, 0, 0)["threshold"] != limit


def test_while_test_is_sealed_val_is_shown() -> None:
    rows, seen, strange, _ = tables()
    val = rows["split"].eq("val").to_numpy()
    sealed = rows[val].assign(shown=True).reset_index(drop=True)
    part = outside.Seen(seen.distance[val], seen.unsure[val], seen.groups[val])
    found = outside.examine(sealed.assign(label="nv"), part, strange, 20, 0)
    assert list(found["parts"]) == ["val"]
    assert found["parts"]["val"]["flagged"] == 0.05
    assert found["melanomas_flagged"] is None


def test_unsure_is_what_the_likeliest_class_lacks() -> None:
    logits = np.array([[0.0, 0, 0, 0], [9, 0, 0, 0]])
    assert outside.unsure(logits) == pytest.approx(1 - softmax(logits, axis=1).max(axis=1))
    assert outside.unsure(logits)[0] == pytest.approx(0.75)


def test_strangers_are_the_same_each_time_and_as_they_are_told() -> None:
    found, again = outside.strangers(32, "squash", 1), outside.strangers(32, "squash", 1)
    assert list(found) == ["photographs", "noise", "blank"]
    for kind, (images, groups) in found.items():
        assert images.dtype == np.uint8
        assert images.shape == (len(groups), 32, 32, 3)
        assert (images == again[kind][0]).all()
    photographs, sources = found["photographs"]
    assert pd.Series(sources).value_counts().to_dict() == {"china": 7, "flower": 7, "portrait": 7}
    assert photographs.std(axis=(1, 2, 3)).min() > 2
    noise = found["noise"][0]
    assert len(np.unique(noise.reshape(len(noise), -1), axis=0)) == len(noise)
    assert noise.mean() == pytest.approx(127.5, abs=1)
    blank = found["blank"][0]
    assert blank.std(axis=(1, 2, 3)).max() == 0
    assert (blank[0].max(), blank[-1].min()) == (0, 255)
    assert (outside.strangers(32, "squash", 2)["noise"][0] != noise).any()
