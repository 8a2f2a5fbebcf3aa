"""List pairs of images that show one lesion under two ids."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import duplicates, figures, files, near_duplicates, params, schemas


def main() -> None:
    config = params.load("duplicates").duplicates
    index = files.read_csv("data/index.csv")
    published = files.read_csv("data/raw/duplicate_pairs.csv")
    trainable = files.read_json("metrics/index.json")["dataset"]
    cache = files.cache_dir("duplicates")
    with files.alone(cache):
        detected = near_duplicates.find_cached(index, trainable, cache)
    detected = detected[detected["score"].ge(config.floor)]
    pairs = duplicates.find_duplicates(index, published, detected, config.threshold)
    files.write_csv("data/duplicates.csv", schemas.check("duplicates", pairs))
    files.write_json("metrics/duplicates.json", duplicates.summarise(pairs, index, config.threshold))
    figures.save(duplicates.draw(pairs, index.set_index("image_id")["path"]), Path("reports/duplicates.webp"))


if __name__ == "__main__":
    errors.run(main)
