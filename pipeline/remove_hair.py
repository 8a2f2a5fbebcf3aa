"""Find and fill the hair in every image.

Reads data/index.csv and data/raw/. Writes data/hairless/, hairless copies of the images that had hair; data/hair.csv,
the share of each image that is hair; metrics/hair.json; and reports/hair.png, a sheet to judge by eye.
The cache keeps results by image content, so an interrupted run resumes at the next image.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import figures, params, results, schemas
    from lesionbench.core import cache, files, meaning
    from lesionbench.hair import remove

    section = params.load("hair").hair
    index = files.read_csv("data/index.csv")
    folder, stored = Path("data/hairless"), cache.folder("hair")
    folder.mkdir(parents=True, exist_ok=True)
    meaning.of(remove.CACHED)  # before the wait: the code that this process has loaded makes the key
    with cache.alone(stored):
        coverage = remove.remove_hair(index, section, stored, folder).round(6)
    files.write_csv("data/hair.csv", schemas.check("hair", index[["image_id"]].assign(coverage=coverage)))
    found = remove.summarise(index, coverage, section, Path("data/raw/hair_masks"))
    results.write("metrics/hair.json", results.Hair.model_validate(found))
    figures.save(remove.draw_sheet(index, coverage, section), Path("reports/hair.png"))


if __name__ == "__main__":
    process.run(main)
