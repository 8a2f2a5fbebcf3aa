"""List pairs of images that show one lesion under two ids."""

from lesionbench import errors  # isort: skip

from lesionbench import duplicates, files, params


def main() -> None:
    threshold = params.load("duplicates").duplicates.threshold
    index = files.read_csv("data/index.csv")
    published = files.read_csv("data/raw/duplicate_pairs.csv")
    pairs = duplicates.find_duplicates(index, published, threshold)
    files.write_csv("data/duplicates.csv", pairs)
    files.write_json("metrics/duplicates.json", duplicates.summarise(pairs, index))


if __name__ == "__main__":
    errors.run(main)
