"""Fetch or draw the dataset that dataset.source names.

Reads only the network, a mirror, or the user's folder `dataset.path`, whose files are linked into the copy of the
project in which a queued experiment runs. Writes data/raw/: metadata.csv, images, masks, duplicate_pairs.csv and
external cohorts. Downloads stay in the cache, so an interrupted one resumes within a file.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import params
    from lesionbench.core import cache, files, root
    from lesionbench.sources import folder, ham10000, phantom

    keys = ("source", "mirror", "path", "external", "phantom_lesions")
    config = params.load("seed", *(f"dataset.{key}" for key in keys))
    params.check_machine(config)
    dataset, raw = config.dataset, Path("data/raw")
    root.bring(dataset.path)
    if dataset.source == "phantom":
        phantom.make(raw, dataset.phantom_lesions, dataset.external, config.seed)
    elif dataset.source == "ham10000":
        downloads = cache.folder("downloads")
        with cache.alone(downloads):
            mirror = dataset.mirror and root.anchored(dataset.mirror)
            ham10000.fetch_ham10000(raw, mirror, dataset.external, downloads, files.local(dataset.path))
    else:
        folder.copy_folder(raw, files.local(dataset.path), dataset.external)


if __name__ == "__main__":
    process.run(main)
