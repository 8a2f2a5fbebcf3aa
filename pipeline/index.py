"""Check and list every image of the dataset.

Reads data/raw/. Writes data/index.csv, one row per image with its metadata, size, content hash and quality, and
metrics/index.json, their counts. This stage reports every fault of a table or an image, before later stages use them.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import params, results, schemas
    from lesionbench.core import errors, files
    from lesionbench.index import images

    config = params.load("seed", "dataset.source", "dataset.path", "dataset.max_lesions")
    dataset = config.dataset
    cohort = Path(dataset.path).resolve().name if dataset.source == "folder" else dataset.source
    try:
        table = images.build_index(Path("data/raw"), cohort, dataset.max_lesions, config.seed)
    except errors.UserError as error:
        if dataset.source != "folder" or "data/raw" not in str(error):
            raise
        raise errors.UserError(f"{error}\n(data/raw is a copy of {dataset.path}: mend it there)") from None
    files.write_csv("data/index.csv", schemas.check("index", table))
    counted = results.Index.model_validate({"dataset": cohort, "cohorts": images.summarise(table)})
    results.write("metrics/index.json", counted)


if __name__ == "__main__":
    process.run(main)
