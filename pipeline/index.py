"""Check and list every image of the dataset.

Reads data/raw/. Writes data/index.csv, one row per image with its metadata, size, content hash and quality, and
metrics/index.json, their counts. This stage reports every fault of a table or an image, before later stages use them.
A subset (dataset.max_lesions) is drawn from each part of the split of all lesions, hence the section split.
"""

from lesionbench.core import process


def main() -> None:
    import os
    from pathlib import Path

    import pandas as pd

    from lesionbench import params, results, schemas
    from lesionbench.core import errors, files
    from lesionbench.index import images
    from lesionbench.split import assign

    # All of section split but `fold`: another fold of a cross-validation is of the same subset.
    drawn_by = ("seed", "scheme", "images", "val", "test", "folds", "holdout_source", "by_patient")
    config = params.load(
        "dataset.source", "dataset.path", "dataset.max_lesions", *(f"split.{name}" for name in drawn_by)
    )
    dataset = config.dataset

    def choose(table: pd.DataFrame) -> pd.DataFrame:
        if dataset.max_lesions is None:
            return table
        published = files.read_csv("data/raw/duplicate_pairs.csv")
        parts = assign.deal(table.rename(columns={"dataset": "source"}), published, config.split)
        return images.subset_lesions(table, dataset.max_lesions, parts, config.split.seed)

    cohort = Path(os.path.abspath(files.local(dataset.path))).name if dataset.source == "folder" else dataset.source
    raw = Path("data/raw")
    try:
        tables = images.read_tables(raw, cohort)
        table = images.build_index(raw, cohort, choose, tables)
    except errors.UserError as error:
        copied = {"folder": "data/raw", "ham10000": "data/raw/external"}.get(dataset.source)  # of the user's own files
        if copied is None or copied not in str(error) or f"{copied}/isic2018_" in str(error):
            raise
        there = dataset.path + copied.removeprefix("data/raw")
        raise errors.UserError(f"{error}\n({copied} is a copy of {there}: mend it there)") from None
    files.write_csv("data/index.csv", schemas.check("index", table))
    counted = results.Index.model_validate({"dataset": cohort, "cohorts": images.summarise(table, tables)})
    results.write("metrics/index.json", counted)
    for note in images.notes(raw, cohort, tables):
        print(note)


if __name__ == "__main__":
    process.run(main)
