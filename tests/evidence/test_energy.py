"""Energy inside the lesion: known where the maps are known, and no gain where they know nothing of the lesion."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionbench.evidence import energy

S = 16
GAINS = ("gain_over_shuffled", "gain_over_mean_map", "gain_over_random_weights")


def rows(n: int, images_per_lesion: int = 1) -> pd.DataFrame:
    table = pd.DataFrame({"group_id": [f"L{k // images_per_lesion:03d}" for k in range(n)]})
    return table.assign(label="nv", predicted="nv")


def discs(rng: np.random.Generator, n: int, spread: float, radius: float = 4.0) -> np.ndarray:
    """Discs around the middle, bool (n, S, S); their centres are `spread` pixels off in each direction, on average."""
    y, x = np.mgrid[:S, :S] - (S - 1) / 2
    dy, dx = rng.normal(0, spread, (2, n, 1, 1))
    return (y - dy) ** 2 + (x - dx) ** 2 < rng.uniform(0.7, 1.3, (n, 1, 1)) * radius**2


def blobs(rng: np.random.Generator, n: int, spread: float) -> np.ndarray:
    """Soft blobs around the middle, float (n, S, S)."""
    y, x = np.mgrid[:S, :S] - (S - 1) / 2
    dy, dx = rng.normal(0, spread, (2, n, 1, 1))
    return np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / 18)


def test_energy_inside_by_hand() -> None:
    maps = np.zeros((3, 4, 4))
    maps[0, 0, 0], maps[0, 3, 3] = 3, 1
    maps[1] = 1
    masks = np.zeros((2, 4, 4), bool)
    masks[0, :2, :2] = masks[1, 3] = True
    expected = [[0.75, 0.25], [0.25, 0.25], [np.nan, np.nan]]
    assert energy.energy_inside(maps, masks) == pytest.approx(np.array(expected), nan_ok=True)


def test_a_map_that_is_always_central_gains_nothing_over_others() -> None:
    """Though its energy is twice the area of the lesions, which are central, too."""
    masks = discs(np.random.default_rng(0), 60, 1.0)
    maps = np.repeat(blobs(np.random.default_rng(1), 1, 0.0), 60, axis=0)
    found = energy.summarise(maps, maps, masks, rows(60), 200, 0)
    assert found["energy_in_lesion"] > 2 * found["lesion_area"]
    assert found["energy_in_lesion"] == pytest.approx(found["shuffled_energy"], abs=1e-6)
    for name in GAINS:
        assert found[name] == pytest.approx(0, abs=1e-6)


def test_a_map_that_follows_the_lesion_gains_over_all_rivals() -> None:
    rng = np.random.default_rng(0)
    masks, noise = discs(rng, 60, 2.0), rng.random((60, S, S))
    found = energy.summarise(masks * 1.0, noise, masks, rows(60), 200, 0)
    assert found["energy_in_lesion"] == 1
    assert found["random_weights_energy"] == pytest.approx(found["lesion_area"], abs=0.02)
    for name in GAINS:
        low, high = found[f"{name}_ci"]
        assert 0.1 < low < found[name] < high


def test_rivals_by_hand() -> None:
    """Three maps of one pixel each or two; L000 has two images, whose maps are no rivals of each other."""
    maps, masks = np.zeros((3, 2, 2)), np.zeros((3, 2, 2), bool)
    maps[0, 0, 0], maps[1, 0], maps[2, 1, 1] = 5, 1, 2
    masks[:2, 0, 0], masks[2, 0] = True, True
    table = pd.DataFrame({"group_id": ["A", "A", "B"], "label": list("xyx"), "predicted": list("xxx")})
    found = energy.summarise(maps, np.ones((3, 2, 2)), masks, table, 0, 0)
    assert found["energy_in_lesion"] == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-6)
    assert found["shuffled_energy"] == pytest.approx((0 + 0 + 1) / 3, abs=1e-6)
    assert found["gain_over_shuffled"] == pytest.approx((1 + 0.5 - 1) / 3, abs=1e-6)
    assert found["random_weights_energy"] == pytest.approx((0.25 + 0.25 + 0.5) / 3, abs=1e-6)
    assert found["energy_in_lesion_right"] == 0.5
    assert found["energy_in_lesion_wrong"] == 0.5
    assert not any(name.endswith("_ci") for name in found)


def test_the_mean_map_counts_each_map_by_its_spread() -> None:
    maps, masks = np.zeros((3, 2, 2)), np.zeros((3, 2, 2), bool)
    maps[0, 0, 0], maps[1], maps[2, 1, 1] = 7, 0.1, 1
    masks[:, 0, 0] = True
    found = energy.summarise(maps, maps, masks, rows(3), 0, 0)
    means = [np.mean([maps[k] / maps[k].max() for k in range(3) if k != own], axis=0) for own in range(3)]
    expected = np.mean([mean[0, 0] / mean.sum() for mean in means])
    assert found["mean_map_energy"] == pytest.approx(expected, abs=1e-6)


def test_empty_maps_are_counted_and_left_out() -> None:
    maps, masks = np.zeros((4, 4, 4)), np.zeros((4, 4, 4), bool)
    masks[:, :2] = True
    maps[0, 0], maps[1, 3], maps[2] = 1, 1, 1
    random = np.ones((4, 4, 4))
    random[0] = 0
    table = pd.DataFrame({"group_id": list("abcd"), "label": list("xxyy"), "predicted": list("xyyy")})
    found = energy.summarise(maps, random, masks, table, 0, 0)
    assert (found["n"], found["empty_maps"]) == (4, 1)
    assert found["energy_in_lesion"] == pytest.approx(0.5)
    assert found["energy_in_lesion_right"] == pytest.approx(0.75)
    assert found["energy_in_lesion_wrong"] == 0
    assert found["random_weights_energy"] == 0.5
    assert found["gain_over_random_weights"] == pytest.approx((0 - 0.5 + 0) / 2)


def test_an_interval_rests_on_ten_lesions_with_both_maps() -> None:
    rng = np.random.default_rng(0)
    masks, maps, random = discs(rng, 12, 2.0), blobs(rng, 12, 2.0), blobs(rng, 12, 2.0)
    random[:3] = 0
    found = energy.summarise(maps, random, masks, rows(12), 50, 0)
    assert "gain_over_shuffled_ci" in found
    assert found["gain_over_random_weights"] is not None
    assert "gain_over_random_weights_ci" not in found


@pytest.mark.parametrize("outside", [0, 1])
def test_no_interval_leaves_what_is_possible(outside: int) -> None:
    """With energy almost all inside or outside of the lesion, and gains near 1, bounds stay below 1 and above 0."""
    rng = np.random.default_rng(0)
    masks = np.zeros((12, S, S), bool)
    masks[np.arange(12), np.arange(12)] = True
    maps = (masks != outside) + np.where(np.arange(12) < 2, 2.0, 1e-4)[:, None, None] * rng.random((12, S, S))
    found = energy.summarise(maps, 1.0 * ~masks, masks, rows(12), 200, 0)
    for name, lowest in (("energy_in_lesion", 0), *((name, -1) for name in GAINS)):
        low, high = found[f"{name}_ci"]
        assert lowest < low < found[name] < high < 1, name


@pytest.mark.parametrize("n", [0, 1, 3])
def test_of_nothing_or_of_empty_maps_alone_nothing_is_said(n: int) -> None:
    found = energy.summarise(np.zeros((n, S, S)), np.zeros((n, S, S)), np.zeros((n, S, S), bool), rows(n), 50, 0)
    assert (found.pop("n"), found.pop("empty_maps")) == (n, n)
    assert set(found.values()) == {None}


def test_one_lesion_has_no_others_to_compare_with() -> None:
    found = energy.summarise(np.ones((2, S, S)), np.ones((2, S, S)), np.ones((2, S, S), bool), rows(2, 2), 50, 0)
    assert found["energy_in_lesion"] == 1
    assert found["shuffled_energy"] is found["gain_over_shuffled"] is found["gain_over_mean_map"] is None


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_the_unit_of_a_map_changes_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    masks, maps, random = discs(rng, 12, 2.0), blobs(rng, 12, 2.0), blobs(rng, 12, 2.0)
    found = energy.summarise(maps, random, masks, rows(12), 30, 0)
    other = energy.summarise(maps * rng.uniform(1, scale + 1, (12, 1, 1)), random * scale, masks, rows(12), 30, 0)
    assert found == {name: pytest.approx(value, abs=1e-5) for name, value in other.items()}


def test_the_intervals_cover_no_gain_in_about_95_of_100() -> None:
    """Maps and lesions that know nothing of each other: the true gains are 0. Each lesion has two images.

    The true energy is taken for the mean of all 200.
    """
    covered, energies = np.zeros((200, len(GAINS)), bool), []
    for k in range(len(covered)):
        rng = np.random.default_rng(k)
        masks = discs(rng, 40, 1.5).repeat(2, axis=0)
        maps, random = (blobs(rng, 40, 1.5).repeat(2, axis=0) + blobs(rng, 80, 1.5) for _ in range(2))
        found = energy.summarise(maps, random, masks, rows(80, 2), 200, k)
        covered[k] = [found[f"{name}_ci"][0] <= 0 <= found[f"{name}_ci"][1] for name in GAINS]
        energies.append([found["energy_in_lesion"], *found["energy_in_lesion_ci"]])
        assert found["energy_in_lesion_right_ci"] == found["energy_in_lesion_ci"]  # all are right
    assert (covered.mean(axis=0) > 0.91).all(), covered.mean(axis=0)
    assert (covered.mean(axis=0) < 0.99).all(), covered.mean(axis=0)
    energy_in, low, high = np.transpose(energies)
    assert 0.91 < ((low <= energy_in.mean()) & (energy_in.mean() <= high)).mean() < 0.99


def test_maps_that_differ_by_rounding_have_no_interval() -> None:
    """A network whose map is the same for every image gains exactly nothing; float32's last digits are no spread."""
    rng = np.random.default_rng(0)
    masks = discs(rng, 40, 2.0)
    maps = np.broadcast_to(blobs(rng, 1, 0.0), masks.shape) * (1 + rng.uniform(-6e-8, 6e-8, masks.shape))
    found = energy.summarise(maps, maps, masks, rows(40), 200, 0)
    for name in GAINS:
        assert str(found[name]) == "0.0"
        assert f"{name}_ci" not in found
    assert found["energy_in_lesion_ci"][0] < found["energy_in_lesion_ci"][1]


def test_by_class_the_means_are_those_of_the_class_against_all_others() -> None:
    """One class looks at its lesions, the other away from them: by hand from the energies of all pairs."""
    rng = np.random.default_rng(0)
    masks = discs(rng, 30, 2.0)
    maps = np.where(np.arange(30)[:, None, None] < 12, masks, ~masks) * 1.0
    maps[29] = 0
    table = rows(30, 2).assign(label=["mel"] * 12 + ["nv"] * 18)
    found = energy.by_class(maps, masks, table, 100, 0, ("mel", "nv", "df"))
    assert [each["n"] for each in found.values()] == [12, 17, 0]
    assert found["df"] == {"n": 0, "energy_in_lesion": None, "gain_over_shuffled": None}
    assert found["mel"]["energy_in_lesion"] == 1
    inside = energy.energy_inside(maps, masks)[:29, :29]
    apart = np.arange(29)[:, None] // 2 != np.arange(29) // 2
    others = np.array([inside[apart[:, k], k].mean() for k in range(29)])
    assert found["nv"]["gain_over_shuffled"] == pytest.approx((np.diag(inside) - others)[12:].mean(), abs=1e-5)
    assert "gain_over_shuffled_ci" not in found["mel"]  # of six lesions
    few = energy.by_class(maps, masks, table.assign(group_id=[f"L{k}" for k in range(30)]), 100, 0, ("mel", "nv"))
    low, high = few["nv"]["gain_over_shuffled_ci"]
    assert low < few["nv"]["gain_over_shuffled"] < high < 0
