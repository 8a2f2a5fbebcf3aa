"""Write docs/reference.md, files and tables and keys, from the code that holds the stages to them: `make docs`.

What a table, a result or a parameter means stands where it is checked: in schemas.py, results/, params.py and the
comments of params.yaml. Only what none of these knows stands here.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lesionbench import results, schemas
from lesionbench.core import files
from lesionbench.networks import model_file
from lesionbench.params import Params
from lesionbench.report import parameters

ROOT = Path(__file__).parents[1]
HEAD = """# Reference

Every file that the stages write, every column, every key. `make docs` writes this page from the code that checks them
(`docs/reference.py`); a test fails where it is out of date. `<task>`, `<backbone>` and the like stand for any name.

- [Files](#files)
- [Tables](#tables), CSV with a header, UTF-8
- [Tables that go with a figure](#tables-that-go-with-a-figure)
- [Results](#results), JSON
- [Arrays and models](#arrays-and-models)
- [Parameters](#parameters), params.yaml
"""
# Files that no docstring of schemas.TABLES or results.FILES describes.
OTHERS = {
    "data/raw/metadata.csv": "the metadata as they came: lesion_id, image_id, dx, dx_type, age, sex, localization, "
    "dataset, patient_id",
    "data/raw/lesion_groupings.csv": "which images show one lesion: image, lesion_id; where there is such a table",
    "data/raw/duplicate_pairs.csv": "published pairs of images of one lesion: image_id_a, image_id_b",
    "data/raw/images/<file>": "the images as they came; their names are NFC",
    "data/raw/masks/<image_id>_segmentation.png": "masks of the lesion, white inside; where there are any",
    "data/raw/hair_masks/<image_id>.png": "masks of the hairs that the phantom drew; of the phantom only",
    "data/raw/external/<cohort>/labels.csv": "diagnoses of an external cohort: image_id, dx",
    "data/raw/external/<cohort>/lesion_groupings.csv": "the lesion of each of its images; where it came",
    "data/raw/external/<cohort>/images/<file>": "the images of an external cohort",
    "data/raw/external/<cohort>/masks/<image_id>_segmentation.png": "their masks; where there are any",
    "data/hairless/<image_id>.jpg": "the images that had hair, without it; JPEG of quality 95, 4:4:4",
    "data/pixels.npy": "all images at the training size, see [below](#arrays-and-models)",
    "data/predictions/<task>/<backbone>.csv": "calibrated predictions of all images but those that are trained on",
    "models/<task>/<backbone>.safetensors": "a trained network, see [below](#arrays-and-models)",
    "reports/duplicates.webp": "the pairs of duplicates, side by side",
    "reports/hair.png": "images before and after hair removal, with the mask",
    "reports/eda/<figure>.svg": "a figure for each table beside it",
    "reports/eda/<table>.csv": "the numbers of a figure, see [below](#tables-that-go-with-a-figure)",
    "reports/eda/samples.webp": "random training images of each diagnosis",
    "reports/eda/flagged.webp": "random images with each quality flag",
    "reports/eda/datasheet.md": "the datasheet of the data as they are split",
    "reports/eda/croissant.json": "the tables of images and of their parts in Croissant, for loaders of data",
    "reports/augmentation.png": "training images as several epochs see them",
    "reports/gradcam/<task>/<backbone>.webp": "Grad-CAM on hits, misses and missed melanomas of the test split",
    "reports/failures/<task>/<backbone>.webp": "errors on the test split, missed melanomas first, beside the training "
    "images that the network finds most alike",
    "reports/compare/<task>/<figure>.svg": "curves of all backbones: ROC, precision-recall, calibration, confusion, "
    "learning, subgroups; and decision curves, worse images and refusals of the chosen one",
    "reports/compare/<task>/thresholds.csv": "sensitivity and specificity of the chosen backbone with intervals by "
    "`threshold` on p(melanoma) and `part` of the images",
    "reports/index.html": "the report, one page that needs nothing else",
    "reports/tables/<table>.csv": "a table of the report for programs: plain numbers, bounds in columns of their own",
    "reports/tables/<table>.md": "the same table as the report shows it",
    "reports/model_cards/<task>/<backbone>.md": "card of a network with the Hugging Face Hub's header: how to load it, "
    "scores, limits",
}
SPREAD = "`by`, `value`, `measure`, `n`, `p5`, `p25`, `p50`, `p75`, `p95`"
# reports/eda/<name>.csv → its columns and what they hold. `<…>` stands for one column a value.
SHOWN = {
    "classes": "`dx`, `train`, `val`, `test`, `external`, `excluded`: images by diagnosis and split, all cohorts",
    "age": "`dx`, `n`, `missing`, `min`, `25%`, `50%`, `75%`, `max`: age in years by diagnosis",
    "sex": "`dx`, `<sex>`: images by diagnosis and sex",
    "localization": "`dx`, `<site>`: images by diagnosis and site on the body",
    "source": "`dx`, `<source>`: images by diagnosis and source",
    "dx_by_source": "`source`, `<dx>`: the same, by source",
    "dx_type": "`dx`, `<dx_type>`: images by diagnosis and the way it was made",
    "images_per_lesion": "`images`, `<dx>`: lesions that have so many images, by diagnosis",
    "hair": "`dx`, `n`, `with_hair`, `mean_coverage`, `p95_coverage`: images, share of them with hair, share covered",
    "confounders": "`variable`, `seen_in`, `lesions`, `missing`, `v_dx`, `v_melanoma`, `v_source`, `epsilon2_dx`, "
    "`<effect>_low`, `<effect>_high`: Cramér's V with diagnosis, melanoma and source, and epsilon squared of numbers, "
    "each with its 95 % interval behind it; seen in the record or in pixels",
    "missing": "`by`, `value`, `n`, `<column>`: share of the images without it (0 to 1)",
    "quality_flags": "`by`, `value`, `n`, `<flag>`: share of the images that have it (0 to 1)",
    "colour": f"{SPREAD}: percentiles of `lab_l`, `lab_a` and `lab_b`, by source",
    "sharpness": f"{SPREAD}: percentiles of the sharpness, by source and by diagnosis",
}
# Metadata of a model file → what it is.
METADATA = {
    "task": "`melanoma` or `diagnosis`",
    "backbone": "name that `networks.backbones.build` knows",
    "classes": "names of the classes, in the order of the logits",
    "size": "side of the images in pixels",
    "mean": "of the three channels, of values 0 to 1: subtracted from the pixels",
    "std": "of the three channels: what the pixels are then divided by",
    "train_key": "hash of all that the training depends on",
    "settings": "task, backbone, seed, size and the parameters of section `train` that can change a weight; with "
    "`train.metadata` also `coding`: input → its columns, as `networks.coding.encode` takes them",
}


def render() -> str:
    """The page."""
    return "\n".join([HEAD, *_files(), *_tables(), *_shown(), *_results(), *_arrays(), *_parameters()]).rstrip() + "\n"


def written() -> dict[str, tuple[str, str]]:
    """Path of each file that a stage writes → the stage, and what it is; in the order of the stages.

    Raises:
        ValueError: if a file is of no stage, or an output of a stage has no file.
    """
    told = {path: _sentence(model.__doc__) for path, model in results.FILES.items()}
    told |= {
        _path(table): _sentence(table.__doc__).removeprefix(f"{_path(table)}: ") for table in schemas.TABLES.values()
    }
    told |= OTHERS
    found: dict[str, tuple[str, str]] = {}
    for stage, outs in outputs().items():
        for out in outs:
            mine = {path: (stage, what) for path, what in told.items() if path == out or path.startswith(f"{out}/")}
            if not mine:
                raise ValueError(f"docs/reference.py says nothing about {out}, which the stage {stage} writes")
            found |= mine
    if strays := told.keys() - found.keys():
        raise ValueError(f"no stage of dvc.yaml writes {', '.join(sorted(strays))}")
    return found


def outputs() -> dict[str, list[str]]:
    """Stage of dvc.yaml → the files and folders that it writes."""
    found = {}
    for name, stage in files.read_yaml(ROOT / "dvc.yaml")["stages"].items():
        outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
        paths = [next(iter(out)) if isinstance(out, dict) else out for out in outs]
        found[name] = [re.sub(r"\$\{item\.(\w+)\}", r"<\1>", path) for path in paths]
    return found


def _path(table: type[schemas.Table]) -> str:
    """The file of a table: its docstring begins with it."""
    return re.split("[:;] ", table.__doc__ or "")[0]


def _files() -> Iterator[str]:
    yield "## Files\n"
    yield _table(("file", "stage", "what"), [(f"`{path}`", f"`{s}`", what) for path, (s, what) in written().items()])


def _tables() -> Iterator[str]:
    yield "## Tables\n\nThe columns stand in this order, and there are no others. `<class>` is a class of the task.\n"
    for table in schemas.TABLES.values():
        yield f"### `{_path(table)}`\n"
        columns = table.with_classes(("<class>",)).columns.items()
        rows = [(f"`{name}`", _column(column), column.description) for name, column in columns]
        yield _table(("column", "type", "meaning"), rows)


def _column(column: Any) -> str:
    checks = {check.name: check.statistics or {} for check in column.checks}
    if "isin" in checks:
        return _one_of(value for value in checks["isin"]["allowed_values"] if value != "")
    if column.dtype is None:
        return "text, each once" if column.unique else "text"
    named = "whole number" if "int" in str(column.dtype) else "number"
    low, high = checks.get("in_range", {}).get("min_value"), checks.get("in_range", {}).get("max_value")
    return named + _limits(low, None if high == float("inf") else high)


def _shown() -> Iterator[str]:
    yield "## Tables that go with a figure\n\nThey lie in `reports/eda/`. `<…>` stands for a column for each value.\n"
    yield _table(("table", "columns"), [(f"`{name}.csv`", told) for name, told in SHOWN.items()])


def _results() -> Iterator[str]:
    yield (
        "## Results\n\nKeys stand in this order. `<name>_ci` is the 95 % interval of the number `<name>`, "
        "`[low, high]`; it is absent where there is none.\nA number that is not defined is null, never NaN.\n"
    )
    told: set[str] = set()
    for path, model in results.FILES.items():
        schema = model.model_json_schema()
        parts = schema.get("$defs", {})
        yield f"### `{path}`\n\n{_paragraphs(schema)}\n"
        yield _keys(schema) if "properties" in schema else f"It is a {_kind(schema)}.\n"
        for name in [each for each in parts if each not in told]:
            yield f"#### {name}\n\n{_paragraphs(parts[name])}\n"
            yield _keys(parts[name])
        told |= parts.keys()


def _keys(schema: dict[str, Any]) -> str:
    keys, rows = schema["properties"], []
    for name, value in keys.items():
        if name.removesuffix("_ci") == name or name.removesuffix("_ci") not in keys:
            named = f"`{name}`, `{name}_ci`" if f"{name}_ci" in keys else f"`{name}`"
            rows.append((named, _kind(value), value.get("description", "")))
    return _table(("key", "type", "meaning"), rows)


def _arrays() -> Iterator[str]:
    yield (
        "## Arrays and models\n\n`data/pixels.npy` holds uint8 RGB of the shape (images, size, size, 3). "
        "Row i is row i of `data/index.csv`.\n\n`models/<task>/<backbone>.safetensors` holds the weights by the "
        "network's own names. Its metadata, each value as JSON,\nsay how to use them; "
        "`networks.model_file.load_model` reads both.\n"
    )
    if tuple(METADATA) != model_file.FIELDS:
        raise ValueError(f"a model file has the metadata {model_file.FIELDS}; docs/reference.py says {tuple(METADATA)}")
    yield _table(("metadata", "what"), [(f"`{name}`", told) for name, told in METADATA.items()])


def _parameters() -> Iterator[str]:
    yield "## Parameters\n\nKeys of `params.yaml`, with the values that are committed. None has a default in code.\n"
    schema = Params.model_json_schema()
    for section in parameters.sections((ROOT / "params.yaml").read_text(encoding="utf-8")):
        yield f"### {section.name or 'At the top'}\n"
        if section.comment:
            yield f"{section.comment}.\n"
        held = (schema["$defs"][section.name.capitalize()] if section.name else schema)["properties"]
        rows = [(f"`{key}`", _kind(held[key], True), f"`{value}`", comment) for key, value, comment in section.rows]
        yield _table(("key", "allowed", "committed", "meaning"), rows)


def _kind(schema: dict[str, Any], limits: bool = False) -> str:
    """The type that a JSON schema allows, in words; of results the description tells the `limits`."""
    if "anyOf" in schema or "oneOf" in schema:
        several = list(dict.fromkeys(_kind(each, limits) for each in schema.get("anyOf") or schema["oneOf"]))
        # A key that is absent where there is no value is never null, and a number may be a whole one.
        no = [
            *(["null"] if schema.get("default", 0) is None else []),
            *(["whole number"] if "number" in several else []),
        ]
        return " or ".join(each for each in several if each not in no)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        return _one_of(schema.get("enum") or [schema["const"]])
    if schema["type"] == "array":
        length = f" of {schema['minItems']}" if schema.get("minItems") == schema.get("maxItems", 0) else ""
        return f"list{length}, each: {_kind(schema['items'], limits)}"
    if schema["type"] == "object":
        value = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
        return "name → value" if value is True else f"name → {_kind(value, limits)}"
    return _plain(schema, limits)


def _plain(schema: dict[str, Any], limits: bool) -> str:
    named = {"string": "text", "boolean": "true or false", "null": "null", "integer": "whole number"}
    if limits and "pattern" in schema:
        allowed = schema["pattern"].replace("[A-Za-z0-9_.]+", "<name>").replace(".+", "<file>")
        return _one_of(allowed.strip("^$()").split("|"))
    kind = named.get(schema["type"], schema["type"])
    keys = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    return kind + (_limits(*(schema.get(key) for key in keys)) if limits else "")


def _limits(low: Any, high: Any, above: Any = None, below: Any = None) -> str:
    """The limits of a number in words; `above` and `below` are not reached."""
    if low is not None and high is not None:
        return f" ({low:g} to {high:g})"
    told = {"{} or more": low, "above {}": above, "{} or less": high, "below {}": below}
    found = [words.format(f"{value:.10g}") for words, value in told.items() if value is not None]
    return f" ({', '.join(found)})" if found else ""


def _one_of(values: Iterable[Any]) -> str:
    *others, last = [f"`{value}`" for value in values]
    return f"{', '.join(others)} or {last}" if others else last


def _sentence(docstring: str | None) -> str:
    """The first sentence of a docstring, up to a semicolon, as it stands in a table."""
    first = re.split(r"\.(?:\s|$)|; ", (docstring or "").strip())[0].replace("\n    ", " ")
    return first[:1].lower() + first[1:] if first[1:2].islower() or first[1:2] == " " else first


def _paragraphs(schema: dict[str, Any]) -> str:
    return "\n\n".join(" ".join(each.split()) for each in schema["description"].split("\n\n"))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(map(_escape, line))} |\n" for line in lines)


def _escape(cell: str) -> str:
    """What would end a cell, or outside of `code` begin a tag, made plain."""
    parts = re.split(r"(`[^`]*`)", cell.replace("|", r"\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


if __name__ == "__main__":
    (ROOT / "docs/reference.md").write_text(render(), encoding="utf-8")
