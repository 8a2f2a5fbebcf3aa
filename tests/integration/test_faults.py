"""Bad input, stage by stage: one clear sentence, a failure, and nothing half-written.

As a script it prints what was tried and what was said:

    PYTHONPATH=src:testing python tests/integration/test_faults.py > docs/faults.md
"""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from faults import (
    LINES,
    Plant,
    both,
    cohort,
    cut,
    external,
    ham_table,
    image,
    metadata,
    mine,
    mirror,
    no_table,
    params,
    project,
    ready_to_train,
    resave,
    run,
    server,
    settings,
    sixteen_bits,
    weights,
)
from PIL import Image

from lesionbench.core import files
from lesionbench.index import quality

STAGES = ("download", "index", "duplicates", "split")
OUTS = ("data/raw", "data/index.csv", "metrics/index.json", "data/duplicates.csv", "data/split.csv", "models")


class Case(NamedTuple):
    """What is done to the good dataset, the stage that must refuse it, and words of its sentence."""

    name: str
    plant: Plant
    stage: str
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    prepared: bool = False  # the stages before it are left out


def train(name: str, plant: Plant, *words: str, backbone: str = "resnet50") -> Case:
    return Case(name, plant, "train", words, ("melanoma", backbone), prepared=True)


def broken_model(here: Path) -> None:
    ready_to_train(here)
    files.write_bytes(here / "models/melanoma/x.safetensors", b"\x10" + bytes(7) + b"{}")


def bad_params(name: str, plant: Plant, *words: str) -> Case:
    return Case(name, plant, "download", ("params.yaml", *words))


def columns(more: str, *cells: str) -> Plant:
    """Columns `more` behind those of the metadata, with `cells` for the eight rows in turn."""
    lines = [f"{line},{cells[n % len(cells)]}" for n, line in enumerate(LINES)]
    return metadata(lambda t: "\n".join([f"{t.splitlines()[0]},{more}", *lines, ""]))


def one_hot(classes: str, lesions: bool = True) -> Plant:
    """The metadata as the ISIC challenges write them; the last image is of the last of `classes`."""
    count = classes.count(",") + 1
    hot = [[float(k == (count - 1 if n == 8 else n % 2)) for k in range(count)] for n in range(1, 9)]
    rows = [f"I{n},{','.join(map(str, cells))}{f',L{n}' if lesions else ''}" for n, cells in enumerate(hot, start=1)]
    return metadata(lambda _: "\n".join([f"image,{classes}{',lesion_id' if lesions else ''}", *rows, ""]))


def one_lesion(table: str) -> str:
    return table.replace("L2,I2,mel", "L1,I2,nv")


def patched(*patches: Any) -> Callable[[], None]:
    """Starts the patches; what is returned ends them."""
    stack = contextlib.ExitStack()
    for each in patches:
        stack.enter_context(each)
    return stack.close


def machine(name: str, values: dict[str, object], *words: str) -> Case:
    """What a machine of two cores, without a GPU or a compiler, cannot do."""

    def plant(here: Path) -> Callable[[], None]:
        settings(**values)(here)
        return patched(
            mock.patch("lesionbench.core.machine.cores", return_value=2),
            mock.patch("torch.cuda.is_available", return_value=False),
            mock.patch("torch.backends.mps.is_available", return_value=False),
            mock.patch.dict(os.environ, {"CXX": "no-compiler"}),
        )

    return Case(name, plant, "download", words)


def no_shared_memory(here: Path) -> Callable[[], None]:
    ready_to_train(here)
    settings(**{"train.workers": 2})(here)
    return patched(mock.patch("lesionbench.core.machine.free_shared_memory", return_value=0))


def small(here: Path) -> None:
    ready_to_train(here)
    np.save(here / "data/pixels.npy", np.zeros((8, 32, 32, 3), np.uint8))


TABLE = "data/raw/metadata.csv"
CASES = [
    # Metadata.
    Case("no column dx", metadata(lambda t: t.replace("dx,", "verdict,", 1)), "index", (TABLE, "dx", "verdict")),
    Case("unknown dx", metadata(lambda t: t.replace("nv", "nevus", 1)), "index", ("row 2: dx is 'nevus'", "akiec")),
    Case("age -3", metadata(lambda t: t.replace("31", "-3")), "index", ("row 2: age is '-3'", "0 to 120")),
    Case("age old", metadata(lambda t: t.replace("32", "old")), "index", ("row 3: age is 'old'", "0 to 120")),
    Case("one image_id twice", metadata(lambda t: t.replace("I2", "I1")), "index", ("row 2", "row 3", "'I1'", "once")),
    Case("image_id with its suffix", metadata(lambda t: t.replace("I2", "I2.jpg")), "index", ("row 3", "suffix")),
    Case("one lesion, two dx", metadata(lambda t: t.replace("L2", "L1")), "index", ("lesion L1 has dx mel and nv",)),
    Case(
        "all lesions unknown", metadata(lambda t: re.sub(r"L\d", "unknown", t)), "index", ("'unknown'", "each lesion")
    ),
    Case(
        "three faults at once",
        metadata(lambda t: t.replace("nv", "?", 1).replace("32", "-1").replace("male", "m", 1)),
        "index",
        ("3 found", "row 2: dx", "row 2: sex", "row 3: age", "mend it there"),
    ),
    Case("a row too short", metadata(lambda t: t.replace(",back", "", 1)), "index", ("row 2: 7 cells", "8")),
    Case("a quote left open", metadata(lambda t: t.replace("back", '"back', 1)), "index", ("row 2", "quote")),
    Case("a column twice", metadata(lambda t: t.replace("sex", "dx", 1)), "index", ("two columns", "'dx'")),
    Case("header alone", metadata(lambda t: t.partition("\n")[0]), "index", ("no rows",)),
    Case("Latin-1", metadata(lambda t: t.replace("back", "rück", 1).encode("latin-1")), "index", ("UTF-8", "line 2")),
    Case("UTF-16", metadata(lambda t: t.encode("utf-16")), "index", ("UTF-8", "0xFF")),
    Case("a control character", metadata(lambda t: t.replace("back", "b\x1bk", 1)), "index", ("row 2", "one line")),
    # Images.
    Case(
        "a row without an image", lambda h: (h / "data/mine/I3.jpg").unlink(), "index", ("row of I3", "no such image")
    ),
    Case("an image without a row", metadata(lambda t: t.replace(LINES[2] + "\n", "")), "index", ("I3.jpg has no row",)),
    Case("truncated JPEG", cut("data/mine/I3.jpg", 700), "index", ("I3.jpg is damaged", "truncated")),
    Case("empty file", cut("data/mine/I3.jpg", 0), "index", ("I3.jpg is an empty file",)),
    Case("a text called .jpg", image(lambda p: p.write_text("<html>")), "index", ("I3.jpg is not a JPEG or PNG",)),
    Case("WebP called .jpg", resave("RGB", "WEBP"), "index", ("I3.jpg is not a JPEG or PNG",)),
    Case("CMYK", resave("CMYK"), "index", ("I3.jpg has mode CMYK", "8-bit RGB")),
    Case("grey", resave("L"), "index", ("I3.jpg has mode L (grey)", "8-bit RGB")),
    Case("16 bits", sixteen_bits, "index", ("I3.png has mode 16 bits", "8-bit RGB")),
    Case("transparency", resave("RGBA", "PNG"), "index", ("I3.jpg has mode RGBA (transparency)", "8-bit RGB")),
    Case(
        "a mask of another size",
        lambda h: Image.new("L", (41, 30)).save(h / "data/mine/masks/I1.png"),
        "index",
        ("I1_segmentation.png", "41x30", "40x30"),
    ),
    Case(
        "a mask that is a JPEG", lambda h: (h / "data/mine/masks/I2.jpg").touch(), "download", ("must be PNG", "I2.jpg")
    ),
    # External cohorts of one's own.
    Case("external named as the dataset", external("mine"), "index", ("called mine", "rename")),
    Case(
        "a control character in a cohort's name",
        external("out\x07er"),
        "index",
        ("called 'out\\x07er'", "text in one line", "rename the folder"),
    ),
    Case(
        "two cohorts whose names differ by case",
        both(external("outer"), external("Outer")),
        "download",
        ("two cohorts of one name", "Outer, outer"),
    ),
    Case(
        "a cohort with an image_id of the dataset",
        both(external("outer"), cohort(lambda t: t.replace("E1", "I1"), "I1")),
        "index",
        ("an image_id stands in two cohorts", "I1 in mine", "I1 in outer"),
    ),
    Case(
        "a cohort's labels without a diagnosis",
        both(external("outer"), cohort(lambda t: t.replace("dx", "verdict"))),
        "index",
        ("external/outer/labels.csv lacks the diagnosis", "it has image_id, verdict"),
    ),
    Case(
        "a cohort of other diagnoses alone",
        both(external("outer"), cohort(lambda t: t.replace("nv", "scar"))),
        "index",
        ("external/outer/labels.csv has no image of one of akiec", "its classes are scar"),
    ),
    Case(
        "a cohort whose labels lack an image",
        both(external("outer"), mine(**{"external/outer/E2.jpg": b"x"})),
        "index",
        ("cohort outer", "E2.jpg has no row"),
    ),
    Case(
        "HAM10000 with a cohort that is not there",
        both(external("outer"), settings(**{"dataset.source": "ham10000", "dataset.external": ["inner"]})),
        "download",
        ("unknown cohort 'inner'", "has outer", "isic2018_validation, isic2018_test"),
    ),
    Case(
        "nothing in data/mine", lambda h: [p.unlink() for p in (h / "data/mine").glob("*.*")], "download", ("neither",)
    ),
    # Downloads.
    Case("a zip with ../", mirror("../I2.jpg"), "download", ("part_2.zip", "'../I2.jpg' leads out")),
    Case(
        "a zip bomb", mirror(data=bytes(65 << 20)), "download", ("part_2.zip", "'I2.jpg' unpacks to 68,157,440 bytes")
    ),
    Case("an encrypted zip", mirror(flags=1), "download", ("part_2.zip", "'I2.jpg' is encrypted")),
    Case(
        "wrong MD5",
        mirror(sums=lambda t: re.sub("(?m)^.{32}", "0" * 32, t)),
        "download",
        ("has the MD5", "MD5SUMS has 000"),
    ),
    Case(
        "no MD5SUMS",
        settings(**{"dataset.source": "ham10000", "dataset.mirror": "x"}),
        "download",
        ("x/MD5SUMS", "URL"),
    ),
    Case("no server", server(None), "download", ("http://127.0.0.1", "Connection refused", "dataset.mirror")),
    Case("a server that says 404", server(404), "download", ("http://127.0.0.1", "status 404")),
    Case("a server that says 500", server(500), "download", ("http://127.0.0.1", "status 500", "gave up")),
    # Folders and mirrors as people have them.
    Case("two images of one name", mine(**{"x/I3.jpg": b"other"}), "download", ("two images of one name", "x/I3.jpg")),
    Case("names that differ by case", mine(**{"x/i3.JPG": b"other"}), "download", ("I3.jpg and", "x/i3.JPG")),
    Case(
        "names that differ by Unicode form",
        mine(**{"\u00e4.jpg": b"1", "x/a\u0308.jpg": b"2"}),
        "download",
        ("two images of one name", "Unicode form"),
    ),
    Case("masks that differ", mine(**{"masks/deep/I1.png": b"x"}), "download", ("two masks of one image", "deep/I1")),
    Case(
        "two tables", mine(**{"HAM10000_metadata.tab": b"x"}), "download", ("both are there", "HAM10000_metadata.tab")
    ),
    Case(
        "two tables of ground truth",
        both(no_table, mine(**{"a_GroundTruth.csv": b"x", "b_GroundTruth.csv": b"x"})),
        "download",
        ("neither", "more than one: a_GroundTruth.csv, b_GroundTruth.csv"),
    ),
    Case(
        "a table of Excel",
        both(no_table, mine(**{"metadata.xlsx": b"x"})),
        "download",
        ("neither", "metadata.xlsx must be saved as CSV UTF-8"),
    ),
    Case(
        "zips in data/mine",
        both(no_table, mine(**{"dataverse_files.zip": b"x"})),
        "download",
        ("neither", "(dataverse_files.zip)", "dataset.mirror=data/mine"),
    ),
    Case(
        "a test set among the images",
        both(ham_table, mine(**{"ISIC2018_Task3_Test_Images/T1.jpg": b"x"})),
        "download",
        ("ISIC2018_Task3_Test_Images holds a test set", "external/<name>"),
    ),
    Case(
        "an external cohort without labels",
        mine(**{"external/outer/E1.jpg": b"x"}),
        "download",
        ("external/outer", "labels.csv is missing"),
    ),
    Case(
        "-S dataset.path=~/nowhere",
        settings(**{"dataset.path": "~/lesionbench-nowhere"}),
        "download",
        ("lesionbench-nowhere is not a folder",),
    ),
    Case(
        "a mirror on S3",
        settings(**{"dataset.source": "ham10000", "dataset.mirror": "s3://bucket"}),
        "download",
        ("s3://bucket is not on this machine", "http"),
    ),
    Case(
        "a mirror without MD5SUMS and other files than upstream's",
        both(mirror(), lambda h: (h / "mirror/MD5SUMS").unlink()),
        "download",
        ("part_1.zip has the MD5", "upstream has", "MD5SUMS is missing"),
    ),
    Case("a server that says 202", server(202), "download", ("status 202", "browser", "Kaggle")),
    Case("a server that says 403", server(403), "download", ("status 403", "browser", "Kaggle")),
    Case(
        "a server that sends a page",
        server(200),
        "download",
        ("did not deliver MD5SUMS, but a web page", "browser", "Kaggle"),
    ),
    # params.yaml.
    bad_params("-S split.val=0.9", settings(**{"split.val": 0.9}), "split: val + test is 0.9 + 0.15", "below 1"),
    bad_params("-S tasks=[melanom]", settings(tasks=["melanom"]), "tasks.0: found 'melanom'", "'diagnosis'"),
    bad_params("-S 'backbones=[resnet51]'", settings(backbones=["resnet51"]), "backbones.0", "resnet50", "timm:<name>"),
    bad_params("-S pixels.size=0", settings(**{"pixels.size": 0}), "pixels.size: found 0", "equal to 32"),
    bad_params("an unknown key", settings(**{"split.tset": 0.1}), "split.tset: unknown key; did you mean test?"),
    bad_params(
        "a missing key", params(lambda t: t.replace("  phantom_lesions: 360", "")), "dataset.phantom_lesions: key"
    ),
    bad_params(
        "learning_rate: '1e-3'",
        params(lambda t: t.replace("learning_rate: 0.001", "learning_rate: '1e-3'")),
        "'1e-3'",
        "write 0.001",
    ),
    bad_params("not YAML", params(lambda t: t.replace("- melanoma", "- [melanoma")), "not valid YAML, line"),
    bad_params("a tab", params(lambda t: t.replace("  source:", "\tsource:")), "not valid YAML, line", "tab"),
    bad_params("a key twice", params(lambda t: t + "seed: 7\n"), "the key seed stands here for the second time"),
    # The machine of the training: told before anything is downloaded.
    bad_params(
        "-S train.strategy=dpp",
        settings(**{"train.strategy": "dpp"}),
        "train.strategy: found 'dpp'",
        "'auto', 'ddp' or 'ddp_find_unused_parameters_true'",
    ),
    machine("-S train.accelerator=gpu", {"train.accelerator": "gpu"}, "train.accelerator is gpu", "auto or cpu"),
    machine("-S train.devices=64", {"train.devices": 64}, "train.devices is 64, but", "2 cores", "auto, or 1 to 2"),
    machine("-S train.num_nodes=2", {"train.num_nodes": 2}, "train.num_nodes is 2, but no launcher", "here: 1"),
    machine("-S train.precision=16-mixed", {"train.precision": "16-mixed"}, "16-mixed, which needs a GPU", "32-true"),
    machine("-S train.workers=1000", {"train.workers": 1000}, "train.workers is 1000", "2 cores", "auto, or 0 to 8"),
    machine("-S train.compile=true", {"train.compile": True}, "no C++ compiler no-compiler", "train.compile to false"),
    train("workers, no shared memory", no_shared_memory, "train.workers is 2", "auto or 0", "--shm-size"),
    train("an image too small", small, "at 32 px", "pixels.size to 224", backbone="timm:vit_base_patch32_224"),
    Case("-S dataset.external=[nonsense]", settings(**{"dataset.external": ["nonsense"]}), "download", ("'nonsense'",)),
    # Splits.
    Case(
        "-S dataset.max_lesions=3", settings(**{"dataset.max_lesions": 3}), "split", ("mel has", "nv has", "3 or more")
    ),
    Case(
        "-S dataset.max_lesions=1", settings(**{"dataset.max_lesions": 1}), "index", ("max_lesions is 1", "2 or more")
    ),
    Case("a class with one lesion", metadata(lambda t: t.replace("mel", "df", 1)), "split", ("df has 1", "3 or more")),
    Case("-S split.folds=8", settings(**{"split.folds": 8}), "split", ("mel has 4, nv has 4", "8 or more")),
    Case("an unknown source", settings(**{"split.holdout_source": "x"}), "split", ("'x'", "has rosendahl")),
    Case(
        "the only source held out",
        settings(**{"split.holdout_source": "rosendahl"}),
        "split",
        ("no image", "train, val"),
    ),
    # Networks and weights.
    train("a network that is unknown", ready_to_train, "resnet51", "known are resnet50", backbone="resnet51"),
    train("a timm network that is unknown", ready_to_train, "no such", "timm:resnet50", backbone="timm:resnet050"),
    train("missing weights", weights("x.pth", None), "weights/x.pth, which does not exist"),
    train("a text as weights", weights("x.pth", b"hello"), "weights/x.pth is not a file of weights"),
    train("weights cut short", weights("x.safetensors", b"\x10" + bytes(7) + b"{}"), "x.safetensors is not a file of"),
    Case(
        "a model cut short",
        broken_model,
        "evaluate",
        ("x.safetensors is not a model file", "dvc repro"),
        ("melanoma", "x"),
        True,
    ),
    train("weights of another network", weights("x.safetensors", {"a": np.zeros(2)}), "does not fit resnet50", "conv1"),
    # Tables: ids in several forms, patients, public tables.
    Case(
        "a lesion in two ways",
        metadata(lambda t: t.replace("L2", "l1")),
        "index",
        ("row 3: lesion_id is 'l1'", "'L1' stands in row 2"),
    ),
    Case(
        "a lesion of two patients",
        lambda here: [plant(here) for plant in (columns("patient_id", "P1", "P2"), metadata(one_lesion))],
        "index",
        ("row 2: lesion L1 has patient P1 and P2", "one patient per lesion"),
    ),
    Case("two columns for patients", columns("patient_id,Patient", "P1,P2"), "index", ("patient_id and Patient",)),
    Case(
        "all melanomas of one patient",
        columns("patient_id", "", "P1"),
        "split",
        ("too few patients", "mel has 1", "split.by_patient: false"),
    ),
    Case(
        "one-hot without lesion ids",
        one_hot("NV,MEL,BCC,AKIEC,BKL,DF,VASC", lesions=False),
        "index",
        (TABLE, "lacks lesion ids", "lesion_groupings.csv", "image, NV, MEL, BCC, AKIEC, BKL, DF, VASC"),
    ),
    Case(
        "one-hot without a class",
        one_hot("NV,MEL,BCC,AKIEC,BKL,DF,VASCULAR_L"),
        "index",
        ("VASC is missing; VASCULAR_L is there",),
    ),
    Case("one-hot with SCC", one_hot("NV,MEL,BCC,AK,BKL,DF,VASC,SCC"), "index", ("row 9: dx is 'SCC'", "akiec")),
    Case(
        "an unclear diagnosis",
        metadata(lambda t: t.replace("dx,", "diagnosis,", 1).replace("nv", "squamous cell carcinoma", 1)),
        "index",
        ("row 2: dx is 'squamous cell carcinoma'", "akiec"),
    ),
    Case("names of nothing", metadata(lambda t: t.replace("_id", "_x")), "index", ("column image_id", "lesion ids")),
]


def refusal(case: Case) -> str:
    """Run the stages up to the one that must refuse; what it says. It must leave none of its outs behind."""
    with project(case.plant):
        for stage in () if case.prepared else STAGES[: STAGES.index(case.stage)]:
            said = run(stage)
            assert not said, f"{stage} refused already: {said}"
        before = {out for out in OUTS if Path(out).exists()}
        said = run(case.stage, *case.arguments)
        assert {out for out in OUTS if Path(out).exists()} == before
        assert not [path for path in Path().rglob("*.partial*")]
        return said.replace(os.getcwd(), "…")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused_in_a_sentence(case: Case) -> None:
    said = refusal(case)
    assert said.startswith("error: ")
    assert "Traceback" not in said
    for word in case.words:
        assert word in said


def test_the_page_has_a_row_a_case_with_the_words_that_are_said(root: Path) -> None:
    page = (root / "docs/faults.md").read_text(encoding="utf-8")
    rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in page.splitlines() if line.startswith("| ")][1:]
    assert [(name, stage) for name, stage, _ in rows] == [(case.name, case.stage) for case in CASES]
    for case, (_, _, said) in zip(CASES, rows, strict=True):
        assert all(word in said.replace("&lt;", "<") for word in case.words), case.name


@pytest.mark.parametrize(
    "plant",
    [
        metadata(lambda t: t.encode("utf-8-sig")),
        metadata(lambda t: t.replace("\n", "\r\n")),
        metadata(lambda t: t.replace(",", ";")),
        metadata(lambda t: t + ",,,,,,,\n"),
        metadata(lambda t: t.replace("rosendahl", "1").replace("back", "<b>$x^2</b>")),
        image(lambda path: Image.open(path).save(path, format="MPO")),
        metadata(lambda t: t.replace("L1,", "\u200bL1,").replace("L2,", "L2\u00a0,").replace("I3,", "I3\u2060 ,")),
        metadata(
            lambda t: (
                t.replace("lesion_id,image_id,dx,", "Lesion ID,isic_id,diagnosis,")
                .replace(",nv,", ",nevus,")
                .replace(",mel,", ',"Melanoma, NOS",')
            )
        ),
    ],
    ids=[
        *("BOM", "CRLF", "semicolons", "a blank row", "numbers, HTML and formulas", "MPO", "invisible characters"),
        "other names and words",
    ],
)
def test_odd_but_legal_input_is_read_right(plant: Plant) -> None:
    with project(lambda here: None):
        assert [run(stage) for stage in STAGES] == [""] * 4
        straight = files.read_csv("data/index.csv").drop(columns=["sha256", "localization", "source"])
    with project(plant):
        assert [run(stage) for stage in STAGES] == [""] * 4
        odd = files.read_csv("data/index.csv").drop(columns=["sha256", "localization", "source"])
    of_pixels = ["pixels_sha256", *quality.COLUMNS]  # saved anew as JPEG they differ
    assert odd.drop(columns=of_pixels).equals(straight.drop(columns=of_pixels))


if __name__ == "__main__":
    print("# Bad input, and what is said of it\n")
    command = "PYTHONPATH=src:testing python tests/integration/test_faults.py > docs/faults.md"
    print(f"Made by `{command}`; the tests hold it to be true.\n")
    print("| tried | refused by | what it says |\n|---|---|---|")
    for each in CASES:
        said = re.sub(r":\d{5}\b", ":PORT", refusal(each)).replace("|", "\\|").replace("<", "&lt;")
        print(f"| {each.name} | {each.stage} | {'<br>'.join(said.splitlines())} |")
