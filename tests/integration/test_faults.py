"""Bad input, stage by stage: one clear sentence, a failure, and nothing half-written.

As a script it prints what was tried and what was said:

    PYTHONPATH=src:testing python tests/integration/test_faults.py > docs/faults.md
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from faults import (
    LINES,
    Plant,
    cut,
    external,
    image,
    metadata,
    mirror,
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


TABLE = "data/raw/metadata.csv"
CASES = [
    # Metadata.
    Case("no column dx", metadata(lambda t: t.replace("dx,", "diagnosis,", 1)), "index", (TABLE, "dx", "diagnosis")),
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
    Case("external named as the dataset", external("mine"), "index", ("called mine", "rename")),
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
    # params.yaml.
    bad_params("-S split.val=0.9", settings(**{"split.val": 0.9}), "split: val + test is 0.9 + 0.15", "below 1"),
    bad_params("-S tasks=[melanom]", settings(tasks=["melanom"]), "tasks.0: found 'melanom'", "'diagnosis'"),
    bad_params("-S 'backbones=[resnet51]'", settings(backbones=["resnet51"]), "backbones.0", "resnet50", "timm:<name>"),
    bad_params("-S pixels.size=0", settings(**{"pixels.size": 0}), "pixels.size: found 0", "equal to 32"),
    bad_params("an unknown key", settings(**{"split.tset": 0.1}), "split.tset: unknown key; did you mean test?"),
    bad_params(
        "a missing key", params(lambda t: t.replace("  phantom_lesions: 120", "")), "dataset.phantom_lesions: key"
    ),
    bad_params("learning_rate: '1e-3'", params(lambda t: t.replace("0.0005", "'1e-3'")), "'1e-3'", "write 0.001"),
    bad_params("not YAML", params(lambda t: t.replace("- melanoma", "- [melanoma")), "not valid YAML, line"),
    bad_params("a tab", params(lambda t: t.replace("  source:", "\tsource:")), "not valid YAML, line", "tab"),
    bad_params("a key twice", params(lambda t: t + "seed: 7\n"), "the key seed stands here for the second time"),
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


@pytest.mark.parametrize(
    "plant",
    [
        metadata(lambda t: t.encode("utf-8-sig")),
        metadata(lambda t: t.replace("\n", "\r\n")),
        metadata(lambda t: t.replace(",", ";")),
        metadata(lambda t: t + ",,,,,,,\n"),
        metadata(lambda t: t.replace("rosendahl", "1").replace("back", "<b>$x^2</b>")),
        image(lambda path: Image.open(path).save(path, format="MPO")),
    ],
    ids=["BOM", "CRLF", "semicolons", "a blank row", "numbers, HTML and formulas", "MPO"],
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
