"""Fetch or draw the dataset named by dataset.source into data/raw/."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import files, params

RAW = Path("data/raw")


def main() -> None:
    keys = ("source", "mirror", "path", "external", "phantom_lesions")
    config = params.load("seed", *(f"dataset.{key}" for key in keys))
    dataset = config.dataset
    if dataset.source == "phantom":
        from lesionbench.archive import whole_folder
        from lesionbench.phantom import EXTERNAL_COHORT, draw_dataset

        wrong = sorted(set(dataset.external) - {EXTERNAL_COHORT})
        if wrong:
            raise errors.UserError(
                f"dataset.external names {wrong[0]!r}; phantom has {EXTERNAL_COHORT}, which is always drawn"
            )
        with whole_folder(RAW) as folder:
            draw_dataset(folder, dataset.phantom_lesions, config.seed)
    elif dataset.source == "ham10000":
        from lesionbench.sources import fetch_ham10000

        downloads = files.cache_dir("downloads")
        with files.alone(downloads):
            fetch_ham10000(RAW, dataset.mirror, dataset.external, downloads)
    else:
        from lesionbench.sources import copy_folder

        copy_folder(RAW, Path(dataset.path), dataset.external)


if __name__ == "__main__":
    errors.run(main)
