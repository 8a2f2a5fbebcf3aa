"""The dataset in Croissant: each column of both tables with its meaning, in a form that its own library reads."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lesionbench import schemas
from lesionbench.eda import croissant


@pytest.fixture
def written(root: Path, tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """The JSON-LD in a folder of its own, and the table of parts that it tells of; a few images."""
    columns = {name: list(schemas.TABLES[name].to_schema().columns) for name in ("index", "split")}
    n = 3
    rows: dict[str, Any] = {name: ["x"] * n for name in {*columns["index"], *columns["split"]}}
    numbers = [name for name, about in schemas.TABLES["index"].to_schema().columns.items() if about.dtype]
    rows |= {name: [1, 2, 3] for name in numbers} | {"image_id": ["I1", "I2", "I3"], "dx": ["mel", "nv", "bcc"]}
    table = pd.DataFrame(rows).assign(split=["train", "val", "test"])
    (tmp_path / "data").mkdir()
    for name in columns:
        table[columns[name]].to_csv(tmp_path / f"data/{name}.csv", index=False)
    folder = tmp_path / "reports/eda"
    folder.mkdir(parents=True)
    files = {"images": tmp_path / "data/index.csv", "parts": tmp_path / "data/split.csv"}
    (folder / "croissant.json").write_text(json.dumps(croissant.describe("ham10000", files, folder)), encoding="utf-8")
    return folder / "croissant.json", table


def test_every_column_is_described(written: tuple[Path, pd.DataFrame]) -> None:
    """With the schema's meaning, and the type of its numbers; the files with their hashes, named from the folder."""
    path, _ = written
    told = json.loads(path.read_text(encoding="utf-8"))
    for records, name in zip(told["recordSet"], ("index", "split"), strict=True):
        columns = schemas.TABLES[name].to_schema().columns
        assert [field["name"] for field in records["field"]] == list(columns)
        assert [field["description"] for field in records["field"]] == [each.description for each in columns.values()]
    kinds = {field["name"]: field["dataType"] for field in told["recordSet"][0]["field"]}
    assert (kinds["age"], kinds["width"], kinds["dx"]) == ("sc:Float", "sc:Integer", "sc:Text")
    for file in told["distribution"]:
        assert hashlib.sha256((path.parent / file["contentUrl"]).read_bytes()).hexdigest() == file["sha256"]


def test_only_what_is_known_is_told(tmp_path: Path) -> None:
    """HAM10000 has its licence and citation; of one's own images there is none."""
    for name in ("index", "split"):
        (tmp_path / f"{name}.csv").write_text("image_id\n", encoding="utf-8")
    files = {"images": tmp_path / "index.csv", "parts": tmp_path / "split.csv"}
    assert croissant.describe("ham10000", files, tmp_path)["license"].endswith("by-nc/4.0/")
    assert not {"license", "citeAs", "url"} & set(croissant.describe("mine", files, tmp_path))


def test_its_own_library_reads_it(written: tuple[Path, pd.DataFrame]) -> None:
    """mlcroissant finds no fault, and gives the rows of a table."""
    mlcroissant = pytest.importorskip("mlcroissant")
    path, table = written
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert not dataset.metadata.ctx.issues.errors
    rows = list(dataset.records("parts"))
    assert [row["parts/image_id"].decode() for row in rows] == list(table["image_id"])
    assert [row["parts/split"].decode() for row in rows] == ["train", "val", "test"]
    assert [row["parts/age"] for row in rows] == [1, 2, 3]
