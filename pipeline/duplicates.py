"""List pairs of images that may show one lesion under two ids.

Reads data/index.csv, data/raw/ and metrics/index.json. Writes data/duplicates.csv, the published pairs and those found
from content; metrics/duplicates.json, their counts; and reports/duplicates.webp, a sheet of pairs. A lesion with two
ids would leak from one split into another.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import figures, params, results, schemas
    from lesionbench.core import cache, files, meaning
    from lesionbench.duplicates import pairs, search

    config = params.load("duplicates").duplicates
    index = files.read_csv("data/index.csv")
    published = files.read_csv("data/raw/duplicate_pairs.csv")
    trainable = results.read(results.Index, "metrics/index.json").dataset
    stored = cache.folder("duplicates")
    meaning.of(search.CACHED)  # before the wait: the code that this process has loaded makes the key
    with cache.alone(stored):
        detected = search.find_cached(index, trainable, stored)
    table = pairs.find_duplicates(index, published, detected, config)
    files.write_csv("data/duplicates.csv", schemas.check("duplicates", table))
    counted = pairs.summarise(table, index, config.threshold)
    results.write("metrics/duplicates.json", results.Duplicates.model_validate(counted))
    figures.save(pairs.draw(table, index.set_index("image_id")["path"]), Path("reports/duplicates.webp"))


if __name__ == "__main__":
    process.run(main)
