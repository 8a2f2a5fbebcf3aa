"""The split: no lesion on two sides, fair shares, the same whatever the row order, and loud when it leaks."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sections
import splitting
from hypothesis import assume, given
from hypothesis import strategies as st
from splitting import NO_PAIRS

from lesionbench.core import sampling
from lesionbench.core.errors import UserError
from lesionbench.core.sampling import quotas
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.split import assign

KINDS = ("df", "mel", "nv")


def run(
    index: pd.DataFrame, pairs: pd.DataFrame = NO_PAIRS, known: pd.DataFrame = NO_PAIRS, **options: Any
) -> pd.DataFrame:
    return splitting.split(index, pairs, "own", sections.split(**options), known)


def make_index(lesions: list[tuple[str, list[str]]], cohort: str = "own", prefix: str = "") -> pd.DataFrame:
    """One row an image of lesions given as (dx, the source of each image)."""
    rows = [
        (f"{prefix}L{number:04d}", dx, source) for number, (dx, sources) in enumerate(lesions) for source in sources
    ]
    table = pd.DataFrame(rows, columns=["lesion_id", "dx", "source"])
    # Ids in another order than the lesions.
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    table["image_id"] = [f"{prefix}I{n:05d}" for n in order]
    return table.assign(cohort=cohort).sort_values("image_id", ignore_index=True)


def pair(*images: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(images, columns=["image_id_a", "image_id_b"])


def images_of(table: pd.DataFrame, lesion: str) -> list[str]:
    return table.loc[table["lesion_id"].eq(lesion), "image_id"].tolist()


@st.composite
def indexes(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """An index of an own and an external cohort, and pairs to be merged among all images."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))

    def lesions(least: int, most: int) -> list[tuple[str, list[str]]]:
        return [
            (dx, rng.choice(["a", "b"], rng.integers(1, 5)).tolist())
            for dx in KINDS
            for _ in range(rng.integers(least, most))
        ]

    pure = [(dx, [source]) for dx in KINDS for source in "aaaaaab"]
    others = make_index([("nv", ["a"]), *lesions(0, 4)], "external", "X")
    index = pd.concat([make_index(pure + lesions(6, 24)), others], ignore_index=True)
    return index, pair(*rng.choice(index["image_id"], (draw(st.integers(0, 5)), 2)).tolist())


seeds = st.integers(0, 2**32 - 1)
schemes = st.sampled_from(
    [{}, {"images": "one_per_lesion"}, {"folds": 3, "fold": 1}, {"holdout_source": "b"}, {"val": 0.3, "test": 0.1}]
)


@given(drawn=indexes(), seed=seeds, options=schemes)
def test_no_group_stands_in_two_splits(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int, options: dict[str, Any]
) -> None:
    index, pairs = drawn
    table = run(index, pairs, seed=seed, **options)
    used = table[table["split"].ne("excluded")]
    assert used.groupby("group_id")["split"].nunique().max() == 1
    assert table["split"].isin(["train", "val", "test", "excluded", "external"]).all()
    assert {"train", "val", "test"} <= set(table["split"])
    assert assign.find_leaks(table) == []
    for a, b in pairs.itertuples(index=False):
        groups = table.set_index("image_id")["group_id"]
        assert groups[a] == groups[b]


@given(drawn=indexes(), seed=seeds, options=schemes, shuffled=st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_row_order(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int, options: dict[str, Any], shuffled: Any
) -> None:
    index, pairs = drawn
    order = list(index.index)
    shuffled.shuffle(order)
    straight = run(index, pairs, seed=seed, **options)
    mixed = run(index.loc[order].reset_index(drop=True), pairs.iloc[::-1], seed=seed, **options)
    assert list(mixed["image_id"]) == list(index.loc[order, "image_id"])
    columns = ["group_id", "split"]
    pd.testing.assert_frame_equal(
        straight.set_index("image_id")[columns].sort_index(), mixed.set_index("image_id")[columns].sort_index()
    )


@given(drawn=indexes(), seed=seeds)
def test_where_all_pairs_are_published_groups_are_dealt_out(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int
) -> None:
    """As in all versions before a subset kept the sides: by the number of images of a group."""
    index, _ = drawn
    own = index[index["cohort"].eq("own")]
    pairs = pair(*np.random.default_rng(seed).choice(own["image_id"], (4, 2)).tolist())
    table = run(index, pairs, pairs, seed=seed).loc[own.index]
    units = table.groupby("group_id").agg(stratum=("dx", "min"), size=("dx", "size"))
    parts = sampling.assign(units, {"train": 0.7, "val": 0.15, "test": 0.15}, seed)
    assert table["split"].tolist() == table["group_id"].map(parts).tolist()


@given(drawn=indexes(), seed=seeds, options=schemes, share=st.floats(0.4, 0.95))
def test_a_subset_leaves_each_lesion_on_its_side(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int, options: dict[str, Any], share: float
) -> None:
    """But for lesions that content joins: the subset may lack the others of such a group."""
    index, pairs = drawn
    section = sections.split(seed=seed, **options)
    known, found = pairs.iloc[:2], pairs.iloc[2:]
    dealt = assign.deal(index[index["cohort"].eq("own")], known, section)
    whole = assign.split_images(index, pairs, "own", section, dealt)
    lesions = index.loc[index["cohort"].eq("own"), "lesion_id"].drop_duplicates().sample(frac=share, random_state=seed)
    part = index[index["cohort"].ne("own") | index["lesion_id"].isin(lesions)]
    within = pairs[pairs["image_id_a"].isin(part["image_id"]) & pairs["image_id_b"].isin(part["image_id"])]
    try:
        table = assign.split_images(part, within, "own", section, dealt)
    except UserError:  # too few lesions
        assume(False)
    assert assign.find_leaks(table) == []
    joined = whole["group_id"].isin(whole.loc[whole["image_id"].isin(found.to_numpy().ravel()), "group_id"])
    sides = whole[~joined & whole["cohort"].eq("own")].set_index("image_id")["split"]
    table = table[table["image_id"].isin(sides.index)]
    assert table["split"].tolist() == sides[table["image_id"]].tolist()


def test_lesions_that_content_joins_go_where_the_first_went() -> None:
    index = make_index([("nv", ["a"])] * 40)
    before = run(index).set_index("lesion_id")["split"]
    first = min(before.index[before.eq("test")])
    second = before.index[before.eq("train") & (before.index > first)][0]
    after = run(index, pair((images_of(index, first)[0], images_of(index, second)[0]))).set_index("lesion_id")["split"]
    assert after[second] == "test"
    assert after.drop(second).equals(before.drop(second))


@given(drawn=indexes(), seed=seeds)
def test_each_diagnosis_meets_its_quotas_of_groups(drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int) -> None:
    index, _ = drawn
    own = run(index, seed=seed).query("cohort == 'own'")
    for _, rows in own.groupby("dx"):
        counts = rows.drop_duplicates("group_id")["split"].value_counts().to_dict()
        assert counts == quotas(rows["group_id"].nunique(), {"train": 0.7, "val": 0.15, "test": 0.15})


def test_the_shares_of_images_are_within_one_point() -> None:
    """The shares of images are within one point on many lesions."""
    rng = np.random.default_rng(0)
    lesions = [
        (dx, ["a"] * rng.integers(1, 7)) for dx, n in zip(KINDS, (300, 600, 3000), strict=True) for _ in range(n)
    ]
    table = run(make_index(lesions))
    shares = pd.crosstab(table["dx"], table["split"], normalize="index")
    assert (shares - pd.Series({"train": 0.7, "val": 0.15, "test": 0.15})).abs().max().max() < 0.01


@given(drawn=indexes(), seed=seeds, folds=st.integers(3, 6))
def test_each_group_is_test_in_exactly_one_fold(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int, folds: int
) -> None:
    index, pairs = drawn
    tables = [run(index, pairs, seed=seed, folds=folds, fold=fold) for fold in range(folds)]
    own = index["cohort"].eq("own")
    for part in ("test", "val"):
        times = sum(table["split"].eq(part).astype(int) for table in tables)
        assert times[own].eq(1).all()
    for fold, table in enumerate(tables):
        assert tables[(fold + 1) % folds]["split"].eq("test").equals(table["split"].eq("val"))


def test_merged_pairs_join_lesions_into_one_group() -> None:
    """Merged pairs join lesions into one group named by the first."""
    index = make_index([("nv", ["a"] * 2)] * 40)
    first, second, third = (images_of(index, lesion)[0] for lesion in ("L0007", "L0003", "L0020"))
    table = run(index, pair((first, second), (third, first)))
    merged = table[table["lesion_id"].isin(["L0003", "L0007", "L0020"])]
    assert set(merged["group_id"]) == {"L0003"}
    assert merged["split"].nunique() == 1
    assert table["group_id"].nunique() == 38


def test_one_per_lesion_keeps_the_lowest_image_id() -> None:
    index = make_index([("nv", ["a"] * (1 + n % 4)) for n in range(40)])
    table = run(index.sample(frac=1, random_state=1), images="one_per_lesion")
    kept = table[table["split"].ne("excluded")]
    assert sorted(kept["image_id"]) == sorted(index.groupby("lesion_id")["image_id"].min())


def test_singletons_keep_the_lesions_with_one_image() -> None:
    index = make_index([("nv", ["a"] * (1 + n % 3)) for n in range(60)])
    table = run(index, images="singletons")
    kept = set(table.loc[table["split"].ne("excluded"), "lesion_id"])
    assert kept == {f"L{n:04d}" for n in range(0, 60, 3)}


def test_a_held_out_source_is_the_test_split() -> None:
    """A held out source is the test split and groups of two sources are excluded."""
    index = make_index([("nv", sources) for sources in [["a", "a"], ["b"], ["a", "b"]] for _ in range(20)])
    table = run(index, holdout_source="b", val=0.25).merge(index[["image_id", "source"]], on="image_id")
    mixed = table["lesion_id"].ge("L0040")
    assert set(table.loc[mixed, "split"]) == {"excluded"}
    assert set(table.loc[~mixed & table["source"].eq("b"), "split"]) == {"test"}
    rest = table[~mixed & table["source"].eq("a")].drop_duplicates("lesion_id")["split"].value_counts().to_dict()
    assert rest == {"train": 15, "val": 5}


def test_a_lesion_of_two_sources_is_excluded_for_one_image_too() -> None:
    """A lesion of two sources is excluded also where one image of it is kept."""
    index = make_index([("nv", sources) for sources in [["a", "a"], ["b"], ["a", "b"]] for _ in range(20)])
    table = run(index, holdout_source="b", images="one_per_lesion")
    assert set(table.loc[table["lesion_id"].ge("L0040"), "split"]) == {"excluded"}


def test_the_assignment_is_the_same_on_every_machine() -> None:
    """Python's hash seed differs from process to process; what is pinned here holds for all."""
    index = make_index([(KINDS[n % 3], ["a"] * (1 + n % 4)) for n in range(60)])
    found = {part: sorted(set(rows["lesion_id"])) for part, rows in run(index, seed=7).groupby("split")}
    digest = {part: hashlib.sha256(" ".join(lesions).encode()).hexdigest()[:12] for part, lesions in found.items()}
    assert digest == {"test": "4601860474d0", "train": "ce92ab815e22", "val": "2644fd7b705b"}


# Patients.


def with_patients(index: pd.DataFrame, seed: int, blank: float = 0.3) -> pd.DataFrame:
    """Patients of some lesions each; of a share `blank` of the lesions nobody knows whose they are."""
    rng = np.random.default_rng(seed)
    lesions = index["lesion_id"].unique()
    of_lesion = [f"P{n}" for n in rng.integers(0, max(4, len(lesions) // 2), len(lesions))]
    known = dict(zip(lesions, np.where(rng.random(len(lesions)) < blank, "", of_lesion), strict=True))
    return index.assign(patient_id=index["lesion_id"].map(known))


@given(drawn=indexes(), seed=seeds, options=schemes, by_patient=st.booleans())
def test_no_patient_stands_in_two_splits(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int, options: dict[str, Any], by_patient: bool
) -> None:
    index, pairs = with_patients(drawn[0], seed), drawn[1]
    try:
        table = run(index, pairs, seed=seed, by_patient=by_patient, **options)
    except UserError:  # too few patients
        assume(False)
    used = table[table["split"].ne("excluded")].merge(index[["image_id", "patient_id"]], on="image_id")
    named = used[used["patient_id"].ne("")]
    assert assign.find_leaks(table) == []
    assert not by_patient or named.groupby("patient_id")["split"].nunique().max() == 1
    assert not by_patient or named.groupby("patient_id")["group_id"].nunique().max() == 1
    assert by_patient or table["split"].tolist() == run(drawn[0], pairs, seed=seed, **options)["split"].tolist()


def test_unknown_patients_join_nothing() -> None:
    index = make_index([("nv", ["a"])] * 40)
    assert run(index.assign(patient_id="")).equals(run(index))


@given(drawn=indexes(), seed=seeds, share=st.floats(0.4, 0.95))
def test_a_subset_leaves_each_patient_on_its_side(
    drawn: tuple[pd.DataFrame, pd.DataFrame], seed: int, share: float
) -> None:
    index = with_patients(drawn[0], seed)
    index = index[index["cohort"].eq("own")].reset_index(drop=True)
    section = sections.split(seed=seed)
    try:
        dealt = assign.deal(index, NO_PAIRS, section)
        lesions = index["lesion_id"].drop_duplicates().sample(frac=share, random_state=seed)
        table = assign.split_images(index[index["lesion_id"].isin(lesions)], NO_PAIRS, "own", section, dealt)
    except UserError:  # too few patients
        assume(False)
    assert assign.find_leaks(table) == []
    assert table["split"].tolist() == dealt[table["image_id"]].tolist()


def test_the_rarest_diagnosis_of_a_patient_says_how_it_is_dealt() -> None:
    """Each patient has a nevus, six have a vascular lesion as well: each part has its share of these six."""
    index = make_index([("nv", ["a"])] * 60 + [("vasc", ["a"])] * 6)
    number = index["lesion_id"].str[1:].astype(int)
    index["patient_id"] = "P" + number.where(number < 60, number - 60).astype(str)
    for seed in range(10):
        table = run(index, seed=seed)
        assert table.loc[table["dx"].eq("vasc"), "split"].value_counts().to_dict() == {"train": 4, "val": 1, "test": 1}


def test_a_diagnosis_that_always_comes_with_another_is_no_fault() -> None:
    index = make_index([("nv", ["a"])] * 6 + [("mel", ["a"])] * 6)
    number = index["lesion_id"].str[1:].astype(int)
    table = run(index.assign(patient_id="P" + (number % 6).astype(str)))
    assert all(set(rows["dx"]) == {"mel", "nv"} for _, rows in table.groupby("split"))


def test_too_few_patients_are_told_with_the_way_out() -> None:
    index = make_index([("nv", ["a"])] * 30 + [("df", ["a"])] * 10)
    index["patient_id"] = np.where(index["dx"].eq("df"), "P1", "")
    with pytest.raises(UserError, match=r"too few patients to split: df has 1; .* split\.by_patient: false"):
        run(index)
    assert set(run(index, by_patient=False)["split"]) == {"train", "val", "test"}


def test_external_images_of_an_own_patient_are_excluded() -> None:
    own, other = make_index([("nv", ["a"])] * 40), make_index([("nv", ["a"])] * 3, "external", "X")
    index = pd.concat([own, other], ignore_index=True).assign(patient_id="")
    index.loc[index["image_id"].isin([own["image_id"][0], other["image_id"][0]]), "patient_id"] = "P1"
    assert run(index)["split"].tail(3).tolist() == ["excluded", "external", "external"]
    assert run(index, by_patient=False)["split"].tail(3).tolist() == ["external"] * 3


def test_an_unknown_source_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"split\.holdout_source is 'c'; .* a, b"):
        run(make_index([("nv", ["a", "b"])] * 20), holdout_source="c")


def test_scheme_image_leaks_and_says_so() -> None:
    index = make_index([("nv", ["a"] * 4)] * 40)
    table = run(index, scheme="image")
    assert assign.find_leaks(table)
    found = assign.summarise(table, leaky=True)
    assert found["leaky"] is True
    assert found["leaking_groups"] == len(assign.find_leaks(table))
    assert assign.summarise(run(index), leaky=False)["leaky"] is False


@pytest.mark.parametrize("to", ["val", "test", "external"])
def test_find_leaks_names_a_group_that_was_moved_in_part(to: str) -> None:
    table = run(make_index([("nv", ["a"] * 2)] * 40))
    lesion = table.loc[table["split"].eq("train"), "lesion_id"].iloc[0]
    row = table.index[table["lesion_id"].eq(lesion)][1]
    table.loc[row, "split"] = to
    assert assign.find_leaks(table) == [f"{lesion}: {', '.join(sorted([to, 'train']))}"]
    table.loc[row, "split"] = "excluded"
    assert assign.find_leaks(table) == []


def test_a_group_whose_other_lesion_lies_elsewhere_is_named() -> None:
    """Find_leaks names a group whose other lesion lies elsewhere."""
    table = run(make_index([("nv", ["a"])] * 40))
    train, test = (table.index[table["split"].eq(part)][0] for part in ("train", "test"))
    table.loc[test, "group_id"] = table.loc[train, "group_id"]
    assert len(assign.find_leaks(table)) == 1


def test_external_images_of_an_own_lesion_are_excluded() -> None:
    own, other = make_index([("nv", ["a"])] * 40), make_index([("nv", ["a"])] * 5, "external", "X")
    other.loc[0, "lesion_id"] = "L0002"
    by_pair = other["image_id"].iloc[1]
    index = pd.concat([own, other], ignore_index=True)
    table = run(index, pair((images_of(own, "L0009")[0], by_pair))).set_index("image_id")["split"]
    assert table[other["image_id"].iloc[0]] == table[by_pair] == "excluded"
    assert set(table[other["image_id"].iloc[2:]]) == {"external"}
    assert not table[own["image_id"]].isin(["excluded", "external"]).any()


def test_a_diagnosis_with_too_few_lesions_is_named() -> None:
    index = make_index([("nv", ["a"])] * 30 + [("df", ["a"] * 5)] * 2 + [("mel", ["a"])])
    with pytest.raises(UserError, match=r"lesions.* df has 2, mel has 1; allowed: 3 or more"):
        run(index)


@pytest.mark.parametrize(
    ("sources", "options", "bare"),
    [(["a", "a"], {"images": "singletons"}, "train, val, test"), (["a"], {"holdout_source": "a"}, "train, val")],
)
def test_a_split_that_would_be_empty_is_refused(sources: list[str], options: dict[str, Any], bare: str) -> None:
    with pytest.raises(UserError, match=f"no image is left for {bare} with"):
        run(make_index([("nv", sources)] * 30), **options)


def test_sources_may_have_numbers_for_names() -> None:
    index = make_index([("nv", [source]) for source in "12" * 20])
    numbers = index.assign(source=index["source"].astype(int))
    assert run(numbers, holdout_source="2").equals(run(index, holdout_source="2"))


def test_numeric_ids_are_split_like_others() -> None:
    index = make_index([("nv", ["a"])] * 40)
    table = run(index.assign(lesion_id=range(40)))
    assert table["split"].value_counts().to_dict() == {"train": 28, "val": 6, "test": 6}


def test_the_summary_counts_every_split() -> None:
    index = pd.concat(
        [
            make_index([("nv", ["a"] * 2)] * 40 + [("mel", ["a"])] * 20),
            make_index([("df", ["a"])] * 3, "external", "X"),
        ],
        ignore_index=True,
    )
    found = assign.summarise(run(index), leaky=False)
    assert found["leaking_groups"] == 0
    splits = found["splits"]
    assert set(splits) == {"train", "val", "test", "external", "excluded"}
    zero = dict.fromkeys(DIAGNOSES, 0)
    assert splits["train"] == {"images": 70, "lesions": 42, "groups": 42, "images_by_dx": zero | {"nv": 56, "mel": 14}}
    assert splits["external"] == {"images": 3, "lesions": 3, "groups": 3, "images_by_dx": zero | {"df": 3}}
    assert splits["excluded"]["images"] == 0
