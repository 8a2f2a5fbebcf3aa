"""Split the lesions into train, val and test, and stop if an audit finds a lesion in two splits.

Reads data/index.csv, data/duplicates.csv, metrics/index.json, the metadata in data/raw/ and, for the audit, the images.
Writes data/split.csv, the split of each image; data/audit.csv, everything that two splits share; and
metrics/split.json, the counts of both. Where patients are known, all lesions of one stay together. All lesions of the
metadata are dealt out, so that a subset leaves each on its side. A split that fails its audit never becomes
data/split.csv.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import params, results, schemas
    from lesionbench.core import files
    from lesionbench.core.metadata import INPUTS
    from lesionbench.index.metadata import read_metadata
    from lesionbench.split import assign, audit

    config = params.load("split", "duplicates.threshold")
    index = files.read_csv("data/index.csv")
    pairs = files.read_csv("data/duplicates.csv")
    trainable = results.read(results.Index, "metrics/index.json").dataset
    metadata = read_metadata(Path("data/raw/metadata.csv"), lesions_known=True).rename(columns={"dataset": "source"})
    dealt = assign.deal(metadata, files.read_csv("data/raw/duplicate_pairs.csv"), config.split)
    table = assign.split_images(index, pairs[pairs["merged"].astype(bool)], trainable, config.split, dealt)
    table[list(INPUTS)] = index[list(INPUTS)]
    with files.atomic("data/split.csv") as partial:
        files.write_csv(partial, schemas.check("split", table))
        overlaps, found = audit.audit_files(
            partial,
            "data/index.csv",
            "data/duplicates.csv",
            config.duplicates.threshold,
            trainable,
            leaky=config.leaky,
            by_patient=config.split.by_patient,
        )
    files.write_csv("data/audit.csv", schemas.check("audit", overlaps))
    by_patient = config.split.by_patient if assign.knows_patients(index) else None
    counted = {**assign.summarise(table, config.leaky, by_patient), "audit": found}
    results.write("metrics/split.json", results.Split.model_validate(counted))


if __name__ == "__main__":
    process.run(main)
