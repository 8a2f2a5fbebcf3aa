"""Split the lesions into train, val and test; stop if the audit finds one in two of them."""

from lesionbench import errors  # isort: skip

from lesionbench import audit, files, params, schemas, split


def main() -> None:
    config = params.load("seed", "split", "duplicates.threshold")
    index = files.read_csv("data/index.csv")
    pairs = files.read_csv("data/duplicates.csv")
    trainable = files.read_json("metrics/index.json")["dataset"]
    table = split.split_images(
        index, pairs[pairs["merged"].astype(bool)], trainable, **config.split.model_dump(), seed=config.seed
    )
    leaky = config.split.scheme == "image"
    # A split that fails its audit never gets its name.
    with files.atomic("data/split.csv") as partial:
        files.write_csv(partial, schemas.check("split", table))
        overlaps, found = audit.audit_files(
            partial, "data/index.csv", "data/duplicates.csv", config.duplicates.threshold, trainable, leaky
        )
    files.write_csv("data/audit.csv", schemas.check("audit", overlaps))
    files.write_json("metrics/split.json", {**split.summarise(table, config.split.scheme), "audit": found})


if __name__ == "__main__":
    errors.run(main)
