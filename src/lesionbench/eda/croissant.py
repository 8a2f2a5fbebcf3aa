"""The dataset in Croissant (Akhtar et al. 2024, doi:10.1145/3650203.3663326), JSON-LD that loaders of data read.

It describes the tables of images and of their parts, with the meaning of each column. The format is at
https://docs.mlcommons.org/croissant/docs/croissant-spec.html.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lesionbench import schemas
from lesionbench.core.files import sha256

VOCABULARY = "http://mlcommons.org/croissant/"
TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
# What the words of the file mean, as Croissant has it.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{name: f"cr:{name}" for name in TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": VOCABULARY,
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": f"{VOCABULARY}RAI/",
    "sc": "https://schema.org/",
}
KNOWN: dict[str, dict[str, str]] = {
    "ham10000": {
        "name": "HAM10000",
        "description": "Dermatoscopic images of pigmented skin lesions with diagnoses, as indexed and split here.",
        "license": "https://creativecommons.org/licenses/by-nc/4.0/",
        "url": "https://doi.org/10.7910/DVN/DBW86T",
        "datePublished": "2018-08-14",
        "citeAs": "Tschandl P, Rosendahl C, Kittler H. The HAM10000 dataset. Sci Data 5, 180161 (2018). "
        "doi:10.1038/sdata.2018.161",
    },
    "phantom": {
        "name": "phantom",
        "description": "Drawings of skin lesions, made by a program to try a pipeline. They are not of patients.",
        "license": "https://www.apache.org/licenses/LICENSE-2.0",
    },
}
# Name of a set of records → its table in schemas.TABLES, and what a record is.
TABLES = {"images": ("index", "One image with its metadata."), "parts": ("split", "The part that an image belongs to.")}


def describe(dataset: str, files: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """The JSON-LD.

    Args:
        dataset: name of the cohort that is trained on.
        files: the CSV file of each of TABLES.
        folder: where the JSON-LD will lie: files are named from there.
    """
    own = {"name": dataset, "description": f"The images of {dataset}, as indexed and split here."}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": f"{VOCABULARY}1.0",
        **KNOWN.get(dataset, own),
        "distribution": [_file(files[name], folder) for name in TABLES],
        "recordSet": [_records(name, files[name].name) for name in TABLES],
    }


def _file(path: Path, folder: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": Path(os.path.relpath(path, folder)).as_posix(),
        "encodingFormat": "text/csv",
        "sha256": sha256(path),
    }


def _records(name: str, file: str) -> dict[str, Any]:
    table, meaning = TABLES[name]
    columns = schemas.TABLES[table].with_classes(()).columns
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": meaning,
        "key": {"@id": f"{name}/image_id"},
        "field": [_field(name, file, column, about) for column, about in columns.items()],
    }


def _field(name: str, file: str, column: str, about: Any) -> dict[str, Any]:
    kind = "sc:Text" if about.dtype is None else "sc:Integer" if "int" in str(about.dtype) else "sc:Float"
    joined = {"references": {"field": {"@id": "images/image_id"}}} if (name, column) == ("parts", "image_id") else {}
    return {
        "@type": "cr:Field",
        "@id": f"{name}/{column}",
        "name": column,
        "description": about.description,
        "dataType": kind,
        "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
        **joined,
    }
