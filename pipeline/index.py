"""List every image with its checked metadata, size and content hash."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import files, index, params, schemas


def main() -> None:
    config = params.load("seed", "dataset.source", "dataset.path", "dataset.max_lesions")
    dataset = config.dataset
    cohort = Path(dataset.path).resolve().name if dataset.source == "folder" else dataset.source
    try:
        table = index.build_index(Path("data/raw"), cohort, dataset.max_lesions, config.seed)
    except errors.UserError as error:
        if dataset.source != "folder" or "data/raw" not in str(error):
            raise
        raise errors.UserError(f"{error}\n(data/raw is a copy of {dataset.path}: mend it there)") from None
    files.write_csv("data/index.csv", schemas.check("index", table))
    files.write_json("metrics/index.json", {"dataset": cohort, "cohorts": index.summarise(table)})


if __name__ == "__main__":
    errors.run(main)
