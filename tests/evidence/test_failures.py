"""Errors: which are looked at, and what stands beside them."""

import numpy as np
import pandas as pd
import pytest

from lesionbench.evidence import failures


def table(missed: int, others: int, right: int = 5) -> pd.DataFrame:
    label = ["mel"] * missed + ["nv"] * (others + right)
    said = ["nv"] * missed + ["mel"] * others + ["nv"] * right
    found = pd.DataFrame({"label": label, "predicted": said})
    rng = np.random.default_rng(0)
    found = found.assign(image_id=[f"I{k:02d}" for k in range(len(found))], confidence=rng.random(len(found)))
    found = found.assign(dx=found["label"], group_id=found["image_id"], p_mel=rng.random(len(found)))
    return found.assign(age=np.where(found.index % 2, 50.0, np.nan), sex="male", localization="", source="a")


@pytest.mark.parametrize(
    ("missed", "others", "n", "wanted"),
    [
        (10, 10, 8, (4, 4)),
        (10, 1, 8, (7, 1)),
        (1, 10, 8, (1, 7)),
        (2, 2, 8, (2, 2)),
        (5, 5, 1, (1, 0)),
        (0, 0, 8, (0, 0)),
    ],
)
def test_missed_melanomas_come_first_and_take_half(missed: int, others: int, n: int, wanted: tuple[int, int]) -> None:
    chosen = failures.choose(table(missed, others).sample(frac=1, random_state=1), n)
    first = chosen["label"].eq("mel")
    assert (first.sum(), (~first).sum()) == wanted
    assert first.tolist() == sorted(first, reverse=True)
    assert chosen["label"].ne(chosen["predicted"]).all()


def test_within_a_kind_the_most_confident_come_first() -> None:
    whole = table(9, 9)
    chosen = failures.choose(whole, 8)
    for label in ("mel", "nv"):
        wrong = whole[whole["label"].eq(label) & whole["predicted"].ne(label)]
        assert (
            chosen.loc[chosen["label"].eq(label), "image_id"].tolist()
            == wrong.nlargest(4, "confidence")["image_id"].tolist()
        )


def test_a_lesion_stands_once_with_its_most_confident_error() -> None:
    whole = table(6, 6).assign(group_id=[f"L{k // 3}" for k in range(17)])
    chosen = failures.choose(whole, 8)
    wrong = whole[whole["label"].ne(whole["predicted"])]
    assert sorted(chosen["group_id"]) == ["L0", "L1", "L2", "L3"]
    assert set(chosen["confidence"]) == set(wrong.groupby("group_id")["confidence"].max())


def test_each_error_has_its_facts_its_map_and_its_neighbours() -> None:
    chosen = failures.choose(table(2, 2), 8)
    images = np.full((4, 14, 14, 3), 40, np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None]
    maps, similar = np.zeros((4, 14, 14)), np.full((4, 3, 14, 14, 3), 200, np.uint8)
    maps[1] = 1
    titles = failures.titles(np.full((4, 3), "bcc"), np.full((4, 3), 0.25))
    assert titles[0] == ["train: bcc, 0.75 alike"] * 3
    (ax,) = failures.draw(chosen, images, maps, similar, titles, "Errors").axes
    (image,) = ax.get_images()
    tiles = np.asarray(image.get_array()).reshape(4, 16, 5, 16, 3).swapaxes(1, 2)[:, :, 2:, :14]
    assert (tiles[:, 0] == images).all()
    assert (tiles[:, 2:] == similar).all()
    assert tiles[1, 1].mean() > 2 * tiles[0, 1].mean()  # where the map is hot, it shines
    told = [text.get_text() for text in ax.texts]
    assert told.count("train: bcc, 0.75 alike") == 12
    facts = " ".join(told)
    assert all(image_id in facts for image_id in chosen["image_id"])
    assert facts.count("MISSED MELANOMA") == 2
    assert "age unknown" in facts
    assert "50 years" in facts
    assert "site unknown" in facts


def test_without_errors_the_figure_says_so() -> None:
    chosen = failures.choose(table(0, 0), 8)
    empty = np.zeros((0, 16, 16, 3), np.uint8)
    figure = failures.draw(chosen, empty, np.zeros((0, 16, 16)), np.zeros((0, 3, 16, 16, 3), np.uint8), [], "Errors")
    assert figure.get_suptitle() == "Errors: none"
