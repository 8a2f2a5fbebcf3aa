"""Split the lesions into train, val and test; stop if one stands in two of them."""

from lesionbench import errors  # isort: skip

from lesionbench import files, params, split


def main() -> None:
    config = params.load("seed", "split")
    index = files.read_csv("data/index.csv")
    pairs = files.read_csv("data/duplicates.csv")
    trainable = files.read_json("metrics/index.json")["dataset"]
    table = split.split_images(
        index, pairs[pairs["merged"].astype(bool)], trainable, **config.split.model_dump(), seed=config.seed
    )
    if config.split.scheme == "lesion":
        split.check_leaks(table)
    files.write_csv("data/split.csv", table)
    files.write_json("metrics/split.json", split.summarise(table, config.split.scheme))


if __name__ == "__main__":
    errors.run(main)
