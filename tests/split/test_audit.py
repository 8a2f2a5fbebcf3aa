"""The audit: quiet about a clean split, and loud about each way in which one can be corrupted."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import faults
import numpy as np
import pandas as pd
import pytest
import sections
import splitting
from hypothesis import assume, given
from hypothesis import strategies as st

from lesionbench import __main__, schemas
from lesionbench.core import files
from lesionbench.core.errors import UserError
from lesionbench.core.tasks import DIAGNOSES
from lesionbench.split import audit, audit_files

Corruption = Callable[[Path], Any]


def png(seed: int, level: int = 1) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()


def save(here: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = here / f"{name}.csv"
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Tables and images of 40 lesions (L00 to L19 have two images each) and of an external cohort of three images."""
    rows = [(f"I{n:02d}{k}", f"L{n:02d}", "own", "nv") for n in range(40) for k in range(2 if n < 20 else 1)]
    rows += [(f"X{n}", f"X{n}", "outer", "nv") for n in range(3)]
    index = pd.DataFrame(rows, columns=["image_id", "lesion_id", "cohort", "dx"]).assign(source="a")
    index["path"] = [str(tmp_path / "images" / f"{image_id}.png") for image_id in index["image_id"]]
    (tmp_path / "images").mkdir()
    for n, path in enumerate(index["path"]):
        Path(path).write_bytes(png(n))
    index["sha256"] = [files.sha256(path) for path in index["path"]]
    index.to_csv(tmp_path / "index.csv", index=False)
    pairs = pd.DataFrame(columns=["image_id_a", "image_id_b", "score", "origin", "merged"])
    pairs.to_csv(tmp_path / "duplicates.csv", index=False)
    made = splitting.split(index, pairs, "own", sections.split(val=0.2, test=0.2, seed=1))
    made.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def run(here: Path, threshold: float = 0.9, leaky: bool = False) -> tuple[pd.DataFrame, dict[str, Any]]:
    return audit.audit_files(here / "split.csv", here / "index.csv", here / "duplicates.csv", threshold, "own", leaky)


def ids(here: Path, part: str, twins: bool | None = None) -> list[str]:
    """Images of a split; of lesions with two images, with one, or any."""
    table = pd.read_csv(here / "split.csv", dtype=str)
    two = table["lesion_id"].lt("L20")
    return table.loc[table["split"].eq(part) & (two.eq(twins) if twins is not None else True), "image_id"].tolist()


# Each of these gives a function that spoils the files in a folder.


def cell(column: str, value: str, part: str = "train", twins: bool | None = True, table: str = "split") -> Corruption:
    """Set `column` of the first image of a split."""

    def corrupt(here: Path) -> None:
        image_id = ids(here, part, twins)[0]
        save(here, table, lambda t: t.assign(**{column: t[column].mask(t["image_id"].eq(image_id), value)}))

    return corrupt


def table(change: Callable[[pd.DataFrame], pd.DataFrame], name: str = "split") -> Corruption:
    return lambda here: save(here, name, change)


def image(part: str, other: str, change: Callable[[bytes], bytes] = bytes, indexed: bool = True) -> Corruption:
    """Put the first image of `part` under the name of the first of `other` as well."""

    def corrupt(here: Path) -> None:
        a, b = (here / "images" / f"{ids(here, each)[0]}.png" for each in (part, other))
        b.write_bytes(change(a.read_bytes()))
        if indexed:
            save(here, "index", lambda t: t.assign(sha256=t["sha256"].mask(t["path"].eq(str(b)), files.sha256(b))))

    return corrupt


def pair(part: str, other: str, score: str, origin: str = "detected", merged: str = "False") -> Corruption:
    def corrupt(here: Path) -> None:
        a, b = ids(here, part)[0], ids(here, other)[-1]
        (here / "duplicates.csv").open("a").write(f"{a},{b},{score},{origin},{merged}\n")

    return corrupt


def reencode(data: bytes) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def copy_within(here: Path) -> None:
    a, b = ids(here, "train", False)[:2]
    (here / f"images/{b}.png").write_bytes((here / f"images/{a}.png").read_bytes())


def chain(here: Path) -> None:
    """Two images that are duplicates of a third one, which no split holds."""
    pair("train", "test", "", "published")(here)
    pair("val", "test", "", "published")(here)
    image_id = ids(here, "test")[-1]
    save(here, "split", lambda t: t.assign(split=t["split"].mask(t["image_id"].eq(image_id), "excluded")))


def cut(here: Path) -> None:
    path = here / "split.csv"
    path.write_text(path.read_text()[:-12])


CORRUPTIONS: dict[str, tuple[Corruption, str]] = {
    "an image moved to another split": (cell("split", "test"), r"I\d+ \(train\) and I\d+ \(test\): lesion L\d+"),
    "a lesion renamed": (cell("lesion_id", "L99"), "has the lesion_id 'L99', in the metadata 'L"),
    "a lesion renamed and a group moved": (
        cell("group_id", "L99"),
        r"show one lesion, but have the group_id (L99, L\d+|L\d+, L99)",
    ),
    "a group over two splits": (
        table(lambda t: t.assign(group_id=t["group_id"].mask(~t["lesion_id"].duplicated(keep=False), "L20"))),
        r"\(train\) and I\d+ \(test\): group L20, \d+ images in all",
    ),
    "an image twice": (table(lambda t: pd.concat([t, t[:1]])), "I000 stands in the split more than once"),
    "an image twice, in two splits": (
        table(lambda t: pd.concat([t, t[:1].assign(split="excluded")])),
        "I000 stands in the split more than once",
    ),
    "an image dropped": (table(lambda t: t[1:]), "I000 of the index is not in the split"),
    "an image that isn't indexed": (
        table(lambda t: pd.concat([t, t[:1].assign(image_id="I999")])),
        "I999 is not in the metadata",
    ),
    "a split misspelt": (cell("split", "tset"), "has the split 'tset'; allowed: train, val, test"),
    "a split blank": (cell("split", ""), "has the split ''"),
    "an empty split": (
        table(lambda t: t.assign(split=t["split"].replace("val", "train"))),
        "no image is in the split val",
    ),
    "a column missing": (table(lambda t: t.drop(columns="group_id")), "lacks the column group_id"),
    "a column renamed": (table(lambda t: t.rename(columns={"split": "set"})), "lacks the column split"),
    "no rows": (table(lambda t: t[:0]), "has no rows"),
    "cut short": (cut, "row 64: . cells, the header has 6"),
    "an external image in train": (
        cell("split", "train", "external", None),
        "X0 of the cohort outer is in the split train",
    ),
    "an own image external": (cell("split", "external", "test", False), "of the cohort own is in the split external"),
    "another cohort": (cell("cohort", "outer"), "has the cohort 'outer', in the metadata 'own'"),
    "another diagnosis": (cell("dx", "mel"), "has the dx 'mel', in the metadata 'nv'"),
    "a lesion renamed in the index": (cell("lesion_id", "L99", table="index"), "in the metadata 'L99'"),
    "a file copied": (image("train", "test"), r"\(train\) and I\d+ \(test\): one file"),
    "a file copied within a split": (
        copy_within,
        r"show one lesion, but have the group_id",
    ),
    "a file copied to an external cohort": (image("val", "external"), r"\(val\) and X0 \(outer\): one file"),
    "pixels saved anew": (image("train", "test", reencode), r"\(train\) and I\d+ \(test\): the same pixels"),
    "a file replaced": (image("train", "test", lambda _: png(999), indexed=False), "not the one that was indexed"),
    "a file that is none": (image("train", "test", lambda _: b"GIF"), "cannot be read as an image"),
    "a file missing": (lambda here: (here / "images/I000.png").unlink(), "No such file"),
    "a duplicate at the threshold": (
        pair("train", "test", "0.9"),
        r"\(train\) and I\d+ \(test\): a duplicate of score 0.9",
    ),
    "a published duplicate": (pair("val", "test", "", "published"), r"\(val\) and I\d+ \(test\): a known duplicate"),
    "a published duplicate of low score": (pair("val", "test", "0.2", "published"), "a duplicate of score 0.2"),
    "a merged duplicate of low score": (pair("val", "test", "0.2", merged="True"), "a duplicate of score 0.2"),
    "a duplicate in an external cohort": (pair("test", "external", "1.0"), r"\(test\) and X2 \(outer\): a duplicate"),
    "two images joined by an excluded one": (
        chain,
        r"\(train\) and I\d+ \(val\): one lesion, linked through other images",
    ),
    "a score that is none": (pair("train", "test", "high"), "column score"),
}


def test_a_clean_split_passes_and_what_was_looked_at_is_counted(here: Path) -> None:
    overlaps, found = run(here)
    assert overlaps.empty
    assert (found["images"], found["pairs"], found["leaks"]) == (63, 0, 0)
    parts = ["train-val", "train-test", "train-outer", "val-test", "val-outer", "test-outer"]
    assert found["overlaps"]["lesion"] == dict.fromkeys(parts, 0)
    schemas.check("audit", overlaps)


@pytest.mark.parametrize(("corrupt", "says"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
def test_a_corrupted_split_is_caught(here: Path, corrupt: Corruption, says: str) -> None:
    corrupt(here)
    with pytest.raises(UserError, match=says):
        run(here)


def test_all_that_is_wrong_is_told_at_once(here: Path) -> None:
    for name in ("an image dropped", "a split misspelt", "a duplicate in an external cohort"):
        CORRUPTIONS[name][0](here)
    with pytest.raises(UserError) as caught:
        run(here)
    for says in ("I000 of the index", "'tset'", "(outer): a duplicate"):
        assert says in str(caught.value)


def test_pairs_below_the_threshold_are_listed_and_counted(here: Path) -> None:
    pair("train", "test", "0.89")(here)
    pair("train", "train", "0.5")(here)
    overlaps, found = run(here)
    (row,) = overlaps.to_dict("records")
    assert (row["reason"], row["score"], row["leak"]) == ("candidate", 0.89, False)
    assert {row["split_a"], row["split_b"]} == {"train", "test"}
    assert found["pairs"] == 2
    assert found["overlaps"]["candidate"]["train-test"] == 1
    assert found["leaks"] == 0
    schemas.check("audit", overlaps)


def test_a_split_that_leaks_on_purpose_is_not_refused(here: Path) -> None:
    """A split that leaks on purpose is counted and not refused."""
    index = files.read_csv(here / "index.csv")
    pairs = files.read_csv(here / "duplicates.csv")
    made = splitting.split(index, pairs, "own", sections.split(scheme="image", val=0.2, test=0.2, seed=1))
    made.to_csv(here / "split.csv", index=False)
    overlaps, found = run(here, leaky=True)
    assert found["leaks"] == overlaps["leak"].sum() > 0
    twins = made[made["split"].isin(audit.OWN)].groupby("lesion_id")["split"].nunique()
    assert sum(found["overlaps"]["lesion"].values()) == twins.gt(1).sum()
    with pytest.raises(UserError, match="fails its audit"):
        run(here)
    CORRUPTIONS["a split misspelt"][0](here)
    with pytest.raises(UserError, match="1 found"):
        run(here, leaky=True)


def test_what_two_external_cohorts_share_is_listed_and_no_leak(here: Path) -> None:
    CORRUPTIONS["a file copied to an external cohort"][0](here)
    table, index = (pd.read_csv(here / f"{name}.csv") for name in ("split", "index"))
    contents = audit_files.hash_images(dict(zip(index["image_id"], map(Path, index["path"]), strict=True)))
    image_id = ids(here, "val")[0]
    there = table.assign(
        split=table["split"].mask(table["image_id"].eq(image_id), "external"),
        cohort=table["cohort"].mask(table["image_id"].eq(image_id), "third"),
    ).query("lesion_id >= 'L20' or image_id == @image_id")
    found = audit.audit(there.merge(contents, on="image_id"), audit_files.no_pairs(), 1.0)
    assert set(found["reason"]) == {"file", "pixels"}
    assert not found["leak"].any()


def test_lesions_of_many_images_cost_one_line_each(here: Path) -> None:
    table = pd.DataFrame(
        {"image_id": [f"I{n}" for n in range(4000)], "lesion_id": "L", "split": ["train", "test"] * 2000}
    )
    (row,) = audit.find_overlaps(table.assign(linked=0), audit_files.no_pairs(), 1.0).to_dict("records")
    assert (row["reason"], row["images"]) == ("lesion", 4000)


def test_a_failing_audit_leaves_no_split_behind() -> None:
    with faults.project(lambda _: None):
        for stage in ("download", "index", "duplicates"):
            assert faults.run(stage) == ""
        before = set(Path("data").iterdir())
        Path("data/raw/images/I2.jpg").write_bytes(Path("data/raw/images/I1.jpg").read_bytes())
        assert "the split fails its audit" in faults.run("split")
        assert set(Path("data").iterdir()) == before
        assert not Path("metrics/split.json").exists()


def test_the_audit_shares_no_code_with_what_made_the_split() -> None:
    """But for `core`: errors, files and the like."""
    loaded = []
    for name in ("audit", "assign"):
        code = f"import sys, lesionbench.split.{name}; print(*(m for m in sys.modules if m.startswith('lesionbench.')))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded.append({each for each in done.stdout.split() if ".core" not in each} - {"lesionbench.split"})
    assert not set.intersection(*loaded)


# Patients.


def of_patients(here: Path, parts: tuple[str, str], by_patient: bool) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One patient has the first image of each of two parts; all other patients are unknown."""
    first = [ids(here, part, False if part != "external" else None)[0] for part in parts]
    save(here, "index", lambda t: t.assign(patient_id=t["image_id"].isin(first).map({True: "P1", False: ""})))
    return audit.audit_files(
        here / "split.csv", here / "index.csv", here / "duplicates.csv", 0.9, "own", False, by_patient
    )


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val"), ("val", "external")])
def test_a_patient_in_two_parts_is_a_leak(here: Path, parts: tuple[str, str]) -> None:
    shown = "outer" if parts[1] == "external" else parts[1]
    with pytest.raises(UserError, match=rf"\w+ \({parts[0]}\) and \w+ \({shown}\): patient P1"):
        of_patients(here, parts, True)


def test_a_patient_of_two_groups_is_a_fault(here: Path) -> None:
    first = ids(here, "train", False)[:2]
    save(here, "index", lambda t: t.assign(patient_id=t["image_id"].isin(first).map({True: "P1", False: ""})))
    with pytest.raises(UserError, match="show one lesion, but have the group_id"):
        run(here)


def test_patients_that_may_stand_in_two_parts_are_counted(here: Path) -> None:
    overlaps, found = of_patients(here, ("train", "test"), False)
    assert overlaps[["reason", "shared", "leak"]].to_numpy().tolist() == [["patient", "P1", False]]
    assert found["overlaps"]["patient"]["train-test"] == 1
    assert found["leaks"] == 0
    schemas.check("audit", overlaps)


def test_where_no_patient_is_known_none_is_counted(here: Path) -> None:
    save(here, "index", lambda t: t.assign(patient_id=""))
    assert "patient" not in run(here)[1]["overlaps"]


# Any metadata, any fractions, any seed.


@st.composite
def datasets(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """An index of two cohorts, the hashes of its images (some are equal), and duplicates with their scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(20, 120))
    lesions = rng.integers(0, draw(st.integers(10, 60)), n)
    dx = rng.choice(DIAGNOSES[: draw(st.integers(1, 7))], 60)
    index = pd.DataFrame(
        {
            "image_id": [f"I{k:03d}" for k in rng.permutation(n)],
            "lesion_id": [f"L{k}" for k in lesions],
            "dx": dx[lesions],
            "cohort": np.where(rng.random(n) < draw(st.sampled_from([0, 0.2])), "outer", "own"),
            "source": rng.choice(["a", "b"], n, p=[0.9, 0.1]),
        }
    )
    pixels = rng.integers(0, n * 20, n).astype(str)
    contents = pd.DataFrame({"image_id": index["image_id"], "file_sha256": index["image_id"], "pixels_sha256": pixels})
    same = contents.merge(contents, on="pixels_sha256", suffixes=("_a", "_b")).query("image_id_a < image_id_b")
    drawn = pd.DataFrame(
        rng.choice(index["image_id"], (draw(st.integers(0, 12)), 2)), columns=["image_id_a", "image_id_b"]
    )
    pairs = pd.concat(
        [same[["image_id_a", "image_id_b"]].assign(score=1.0), drawn.assign(score=rng.random(len(drawn)))]
    )
    return index, contents, pairs.assign(certain=False)


@given(
    drawn=datasets(),
    seed=st.integers(0, 2**32 - 1),
    threshold=st.floats(0.01, 1),
    val=st.floats(0.01, 0.49),
    test=st.floats(0.01, 0.49),
    scheme=st.sampled_from(["lesion", "lesion", "image"]),
    images=st.sampled_from(["all", "all", "one_per_lesion", "singletons"]),
    more=st.sampled_from([{}, {}, {"folds": 3, "fold": 2}, {"holdout_source": "b"}]),
)
def test_no_group_stands_in_two_splits_and_the_audit_agrees(
    drawn: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    seed: int,
    threshold: float,
    val: float,
    test: float,
    scheme: str,
    images: str,
    more: dict[str, Any],
) -> None:
    index, contents, pairs = drawn
    section = sections.split(**{"seed": seed, "scheme": scheme, "images": images, "val": val, "test": test, **more})
    merged = pairs[pairs["score"].ge(threshold)]
    try:
        made = splitting.split(index, merged, "own", section)
    except UserError:  # too few lesions
        assume(False)
    table = made.merge(contents, on="image_id")
    found = audit.audit(table, pairs, threshold, metadata=index, trainable="own", leaky=scheme == "image")
    used = made[made["split"].ne("excluded")]
    spread = used.groupby("group_id")["split"].nunique().gt(1).sum()
    assert bool(spread) == bool(found["leak"].any())
    assert scheme == "image" or not spread
    moved = made[made["split"].isin(audit.OWN) & made["group_id"].duplicated(keep=False)]
    if scheme == "lesion" and len(moved) and moved["group_id"].duplicated().any():
        row = moved.index[moved["group_id"].duplicated()][0]
        other = next(part for part in audit.OWN if part != made.loc[row, "split"])
        table.loc[row, "split"] = other
        with pytest.raises(UserError, match="group"):
            audit.audit(table, pairs, threshold, metadata=index, trainable="own")


# The command, on splits of other projects.


def command(*arguments: object) -> tuple[int, str]:
    """Exit status of `lesionbench`, and what it says to standard error when it fails."""
    with (
        mock.patch.object(sys, "argv", ["lesionbench", *map(str, arguments)]),
        mock.patch("os._exit", sys.exit),
        mock.patch.object(sys, "stderr") as stderr,
    ):
        try:
            __main__.main()
        except SystemExit as end:
            said = "".join(str(each.args[0]) for each in stderr.write.call_args_list)
            return (int(end.code), said) if end.code else (0, "")
    raise AssertionError("the command did not end")


@pytest.fixture
def foreign(here: Path) -> Path:
    """The split as another project would write it: other columns, file names, no lesions."""
    names = {"image_id": "Image", "split": "subset"}
    other = {"train": "Training", "val": "valid", "test": "testing"}
    save(
        here,
        "split",
        lambda t: (
            t[t["cohort"].eq("own")]
            .rename(columns=names)[[*names.values()]]
            .assign(subset=lambda t: t["subset"].map(other), Image=lambda t: "data/" + t["Image"] + ".PNG")
        ),
    )
    return here


def test_the_command_passes_a_clean_split(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command passes a clean split and says what it could not check."""
    assert command("audit", foreign / "split.csv", "--images", foreign / "images") == (0, "")
    said = capsys.readouterr().out
    assert "Lesions were not checked" in said
    assert "not checked" in next(line for line in said.splitlines() if "lesions " in line)
    metadata = ("--metadata", foreign / "index.csv")
    assert command("audit", foreign / "split.csv", "--images", foreign / "images", *metadata) == (0, "")
    assert "Lesions were not checked" not in capsys.readouterr().out


def test_the_command_lists_the_leaks_of_another_project_s_split(foreign: Path, tmp_path: Path) -> None:
    table = pd.read_csv(foreign / "split.csv")
    table["subset"] = np.resize(["Training", "valid", "testing"], len(table))
    table.to_csv(foreign / "split.csv", index=False)
    arguments = (foreign / "split.csv", "--images", foreign / "images", "--metadata", foreign / "index.csv")
    status, said = command("audit", *arguments, "--out", tmp_path / "all.csv")
    assert status == 1
    assert "error: the split leaks (20 found)" in said
    assert "I000 (train) and I001 (val): lesion L00" in said
    assert len(pd.read_csv(tmp_path / "all.csv")) == 20


def test_folds_are_parts_and_columns_can_be_named(here: Path) -> None:
    rows = [f"I{n:02d}{k};{n % 4};L{n}" for n in range(10) for k in range(2)]
    (here / "folds.csv").write_text("\n".join(["picture;part;tumour", *rows, ""]))
    named = ("--image-column", "picture", "--split-column", "part", "--lesion-column", "tumour")
    arguments = ("audit", here / "folds.csv", "--images", here / "images", *named)
    assert command(*arguments)[0] == 0
    (here / "folds.csv").write_text("\n".join(["picture;part;tumour", *rows[:-1], "I091;3;L9", ""]))
    status, said = command(*arguments)
    assert status == 1
    assert "I090 (fold 1) and I091 (fold 3): lesion L9" in said


def test_the_lesion_column_may_be_the_metadata_s(foreign: Path) -> None:
    save(foreign, "index", lambda t: t[["image_id", "lesion_id"]].rename(columns={"lesion_id": "tumour"}))
    save(foreign, "split", lambda t: t.assign(subset=["train", "test"] * 30))
    arguments = ("audit", foreign / "split.csv", "--images", foreign / "images", "--metadata", foreign / "index.csv")
    assert command(*arguments)[0] == 0
    status, said = command(*arguments, "--lesion-column", "tumour")
    assert status == 1
    assert "I000 (train) and I001 (test): lesion L00" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "does not exist"),
        ("", "has no rows"),
        ("image,split\n", "has no rows"),
        ("image,split\nI000\n", "row 2: 1 cells, the header has 2"),
        ("who,split\nI000,train\n", "lacks the column image_id; it has who, split"),
        ("image,what\nI000,train\n", "--split-column names another"),
        ("image,split\nI000,train\nI010,tset\n", "'tset'; allowed: train, val, test"),
        ("image,split\nI000,train\nnone,test\n", "none: no such image"),
    ],
)
def test_bad_input_costs_a_sentence(here: Path, text: str | None, says: str) -> None:
    path = here / "other.csv"
    if text is not None:
        path.write_text(text)
    status, said = command("audit", path, "--images", here / "images")
    assert status == 1
    assert says in said
    assert "Traceback" not in said


def test_images_of_one_name_are_told_apart_by_their_folder(here: Path) -> None:
    """Images of one name in two folders are told apart by the folder."""
    for n, name in enumerate(("a/1.png", "b/1.png", "b/2.png", "masks/2.png")):
        (here / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "more" / name).write_bytes(png(n))
    (here / "other.csv").write_text("file,set\na/1.png,train\nb/1.png,test\n2.png,test\n")
    assert command("audit", here / "other.csv", "--images", here / "more")[0] == 0
    (here / "other.csv").write_text("file,set\n1.png,train\n2.png,test\n")
    assert "a/1.png or " in command("audit", here / "other.csv", "--images", here / "more")[1]


def test_images_in_folders_with_mask_in_their_name_are_found(here: Path) -> None:
    """The rule for masks is the pipeline's."""
    folders = ("unmasked", "no_masks", "x/masks", "masks", "external/c/masks", "hair_masks")
    for n, folder in enumerate(folders):
        (here / "more" / folder).mkdir(parents=True)
        (here / "more" / folder / f"{n}.png").write_bytes(png(n))
        (here / "more" / folder / "._0.png").write_bytes(b"x")
    (here / "other.csv").write_text("file,set\n0,train\n1,test\n2,test\n")
    assert command("audit", here / "other.csv", "--images", here / "more") == (0, "")
    (here / "other.csv").write_text("file,set\n0,train\n3,test\n4,test\n5,test\n")
    said = command("audit", here / "other.csv", "--images", here / "more")[1]
    assert all(f"{n}: no such image" in said for n in (3, 4, 5))
    # A mask beside an image, deeper down, is not taken for a second image.
    (here / "more/x/masks/0.png").write_bytes(png(9))
    (here / "other.csv").write_text("file,set\n0,train\n1,test\n")
    assert command("audit", here / "other.csv", "--images", here / "more") == (0, "")


def test_an_image_that_lies_there_twice_with_equal_bytes_is_one(here: Path) -> None:
    for folder in ("HAM10000_images_part_1", "ham10000_images_part_1"):
        (here / "more" / folder).mkdir(parents=True)
        for n in range(2):
            (here / "more" / folder / f"{n}.png").write_bytes(png(n))
    (here / "other.csv").write_text("file,set\n0,train\n1,test\n")
    assert command("audit", here / "other.csv", "--images", here / "more") == (0, "")
    (here / "more/ham10000_images_part_1/1.png").write_bytes(png(2))
    assert "1.png or " in command("audit", here / "other.csv", "--images", here / "more")[1]


def test_names_of_another_unicode_form_are_found(here: Path) -> None:
    (here / "more").mkdir()
    for n, name in enumerate(("\u00e4", "o\u0308")):
        (here / "more" / f"{name}.png").write_bytes(png(n))
    (here / "other.csv").write_text("file,set\na\u0308.png,train\n\u00f6.png,test\n", encoding="utf-8")
    assert command("audit", here / "other.csv", "--images", here / "more") == (0, "")


HIDDEN = [
    "X_01,L\u00e4sion_1,P1,mel,train",
    "X_02,La\u0308sion_1,P1,mel,test",
    "X_03,L_03,P1,nv,val",
    "X_04,L_04,P2,nv,train",
]


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A lesion in two Unicode forms, and a patient in three splits."""
    lines = ["image_id,lesion_id,patient_id,dx,split", *HIDDEN, ""]
    (tmp_path / "split.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "all").mkdir()
    for n in range(1, 5):
        (tmp_path / "all" / f"X_0{n}.png").write_bytes(png(n))
    return tmp_path


def test_hidden_leaks_are_found(hidden: Path) -> None:
    status, said = command("audit", hidden / "split.csv", "--images", hidden / "all")
    assert status == 1
    assert "4 found" in said
    assert "X_01 (train) and X_02 (test): lesion L\u00e4sion_1" in said
    assert "X_01 (train) and X_03 (val): patient P1" in said


def test_a_table_can_be_audited_without_images(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "4 found" in command("audit", hidden / "split.csv")[1]
    assert "Files and pixels were not checked: --images names" in capsys.readouterr().out


def test_patients_may_stand_in_the_metadata(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(hidden / "split.csv")
    table[["image_id", "patient_id"]].rename(columns={"patient_id": "who"}).to_csv(hidden / "meta.csv", index=False)
    table.assign(lesion_id=["a", "b", "c", "d"])[["image_id", "lesion_id", "split"]].to_csv(
        hidden / "split.csv", index=False
    )
    assert command("audit", hidden / "split.csv", "--metadata", hidden / "meta.csv") == (0, "")
    assert "Patients were not checked" in capsys.readouterr().out
    said = command("audit", hidden / "split.csv", "--metadata", hidden / "meta.csv", "--patient-column", "who")[1]
    assert "3 found" in said
    assert "patient P1" in said


def test_ids_that_look_alike_count_as_one(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And it says so; a lesion of two patients is told as well."""
    rows = ["X_01,L 1,P1,train", "X_02,l1,p1,test", "X_03,L3,P3,val", "X_04,L3,P4,val", ""]
    (hidden / "split.csv").write_text("\n".join(["image,lesion,patient,split", *rows]), encoding="utf-8")
    said = command("audit", hidden / "split.csv")[1]
    assert "X_01 (train) and X_02 (test): lesion L 1" in said
    assert "X_01 (train) and X_02 (test): patient P1" in said
    printed = capsys.readouterr().out
    assert "The lesions 'L 1' and 'l1' count as one" in printed
    assert "The lesion L3 has the patients P3 and P4." in printed


def test_images_are_found_in_another_unicode_form(hidden: Path) -> None:
    (hidden / "all" / "X_01.png").rename(hidden / "all" / "Xa\u0308.png")
    text = (hidden / "split.csv").read_text(encoding="utf-8")
    (hidden / "split.csv").write_text(text.replace("X_01", "all/X\u00e4.png"), encoding="utf-8")
    assert "4 found" in command("audit", hidden / "split.csv", "--images", hidden / "all")[1]
    (hidden / "all" / "X\u00e4.png").write_bytes(png(9))
    assert "cannot be found" in command("audit", hidden / "split.csv", "--images", hidden / "all")[1]


def test_a_table_a_split_is_read(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(hidden / "split.csv", dtype=str)
    names = {"train": "ISIC_2019_Training.csv", "val": "my-validation.csv", "test": "test.csv"}
    paths = [hidden / name for name in names.values()]
    for (part, _), path in zip(names.items(), paths, strict=True):
        table[table["split"].eq(part)].drop(columns="split").to_csv(path, index=False)
    assert "4 found" in command("audit", *paths, "--images", hidden / "all")[1]
    assert "val" in capsys.readouterr().out
    paths[0].rename(hidden / "some.csv")
    status, said = command("audit", hidden / "some.csv", *paths[1:])
    assert status == 1
    assert (
        "some.csv has no column split, set, fold, subset, partition, and is not named after train, val or test" in said
    )


def test_an_image_in_two_tables_is_told_with_both(hidden: Path) -> None:
    for name in ("train", "test"):
        (hidden / f"{name}.csv").write_text("image\nX_01\n")
    status, said = command("audit", hidden / "train.csv", hidden / "test.csv")
    assert status == 1
    assert "X_01 stands in the split more than once: test, train" in said


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder a split, with one picture in two of them; masks and what is hidden are none of it."""
    names = ("train/mel/1.png", "train/2.png", "val/3.png", "test/1.png", "test/masks/1.png", "train/.x.png")
    for n, name in enumerate(names):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(png(n % 4))
    (tmp_path / "set/test/4.png").write_bytes(reencode(png(0)))
    return tmp_path / "set"


def test_folders_are_audited_by_content(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([folders], [folders / "train", folders / "val", folders / "test"]):
        status, said = command("audit", *arguments)
        assert status == 1
        assert "1 found" in said
        assert "train/mel/1 (train) and test/4 (test): the same pixels" in said
        printed = capsys.readouterr().out
        assert "Lesions were not checked" in printed
        assert "Patients were not checked" in printed


def test_folders_have_lesions_by_the_metadata(folders: Path) -> None:
    (folders / "test/1.png").unlink()
    (folders / "test/4.png").unlink()
    (folders / "test/5.png").write_bytes(png(7))
    (folders / "meta.csv").write_text("image_id,lesion_id\n1,L1\n2,L2\n3,L3\n5,L2\n")
    status, said = command("audit", folders, "--metadata", folders / "meta.csv")
    assert status == 1
    assert "2 (train) and 5 (test): lesion L2" in said


def test_lesions_are_found_where_two_folders_have_images_of_one_name(folders: Path) -> None:
    (folders / "meta.csv").write_text("image_id,lesion_id\n1,L1\n2,L2\n3,L3\n4,L4\n")
    said = command("audit", folders, "--metadata", folders / "meta.csv")[1]
    assert "train/mel/1 (train) and test/1 (test): lesion L1" in said


def test_folders_that_are_no_split_are_refused(folders: Path) -> None:
    for name, says in {"a": "has no folders train, val or test; it has no folder", "b": "both"}.items():
        (folders / name).mkdir()
        arguments = [folders / name] if name == "a" else [folders, hidden_table(folders)]
        status, said = command("audit", *arguments)
        assert status == 1
        assert says in said
    (folders / "val/3.png").unlink()
    assert "val: no image found" in command("audit", folders)[1]


def hidden_table(folder: Path) -> Path:
    (folder / "split.csv").write_text("image,split\n1,train\n")
    return folder / "split.csv"


def test_every_path_may_begin_with_a_tilde(hidden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(hidden))
    monkeypatch.setenv("USERPROFILE", str(hidden))
    (hidden / "pairs.csv").write_text("image_id_a,image_id_b\nX_03,X_04\n")
    arguments = ("~/split.csv", "--images", "~/all", "--metadata", "~/split.csv", "--duplicates=~/pairs.csv")
    said = command("audit", *arguments, "--out=~/all.csv")[1]
    assert "5 found" in said
    assert len(pd.read_csv(hidden / "all.csv")) == 5


def test_two_columns_of_one_meaning_are_refused_unless_one_is_named(hidden: Path) -> None:
    text = (hidden / "split.csv").read_text(encoding="utf-8").replace("dx", "Patient", 1)
    (hidden / "split.csv").write_text(text, encoding="utf-8")
    assert "patient_id and Patient, which both mean patient_id" in command("audit", hidden / "split.csv")[1]
    assert "4 found" in command("audit", hidden / "split.csv", "--patient-column", "patient_id")[1]


def test_class_folders_named_by_digits_are_no_folds(tmp_path: Path) -> None:
    for n, name in enumerate(("train/0/a.png", "train/1/b.png", "test/0/c.png", "test/1/d.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(0 if n in (0, 2) else n))
    for arguments in ([tmp_path], [tmp_path / "train", tmp_path / "test"]):
        status, said = command("audit", *arguments)
        assert status == 1
        assert "(train)" in said
        assert "(test)" in said


def test_blank_patients_of_the_metadata_do_not_hide_those_of_the_split(hidden: Path) -> None:
    (hidden / "meta.csv").write_text("image_id,patient_id\nX_01,\nX_02,\nX_03,\nX_04,P2\n")
    status, said = command("audit", hidden / "split.csv", "--metadata", hidden / "meta.csv")
    assert status == 1
    assert "patient P1" in said
    (hidden / "meta.csv").write_text("image_id,patient_id\nX_01,\nX_02,\nX_03,\nX_04,P9\n")
    said = command("audit", hidden / "split.csv", "--metadata", hidden / "meta.csv")[1]
    assert "X_04 has the patient_id 'P2', in the metadata 'P9'" in said


def test_pairs_that_name_no_image_of_the_split_are_told(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (hidden / "pairs.csv").write_text("image_id_a,image_id_b\nA,B\nX_03,X_04\n")
    assert "5 found" in command("audit", hidden / "split.csv", f"--duplicates={hidden / 'pairs.csv'}")[1]
    assert "1 of 2 pairs name an image that the split does not have" in capsys.readouterr().out


def test_a_table_s_name_comes_before_its_inner_folds(hidden: Path) -> None:
    for name in ("train", "test"):
        (hidden / f"{name}.csv").write_text(f"image,fold,lesion\n{name}1,0,L1\n{name}2,1,L2\n")
    said = command("audit", hidden / "train.csv", hidden / "test.csv")[1]
    assert "train1 (train) and test1 (test): lesion L1" in said
