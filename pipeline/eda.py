"""Draw and tabulate the split data.

Reads data/index.csv, data/split.csv, data/hair.csv, metrics/index.json and, for the sheets, the images. Writes
reports/eda/ (figures, their tables, the datasheet, and croissant.json for loaders of data) and metrics/eda.json
(numbers to compare between datasets). The figures show what a network could cheat with.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import figures, params, results
    from lesionbench.core import files
    from lesionbench.eda import croissant, datasheet, panels, ranking, tables

    config = params.load("seed", "eda")
    folder, found = Path("reports/eda"), results.read(results.Index, "metrics/index.json")
    table = files.read_csv("data/index.csv")
    for more in (files.read_csv("data/split.csv")[["image_id", "group_id", "split"]], files.read_csv("data/hair.csv")):
        table = table.merge(more, on="image_id", validate="1:1")
    own = table[table["cohort"].eq(found.dataset)]
    ranked = ranking.rank(ranking.by_lesion(own), config.eda.bootstrap, config.seed)
    for name, (numbers, figure) in {**tables.tables(own, table, ranked), **panels.tables(own, ranked)}.items():
        files.write_csv(folder / f"{name}.csv", numbers.reset_index() if numbers.index.name else numbers)
        figures.save(figure, folder / f"{name}.svg")
    figures.save(tables.draw_samples(own, config.eda.samples_per_class, config.seed), folder / "samples.webp")
    figures.save(tables.draw_flagged(own, config.eda.samples_per_class, config.seed), folder / "flagged.webp")
    files.write_bytes(folder / "datasheet.md", datasheet.render(found.plain(), table, ranked).encode())
    described = {"images": Path("data/index.csv"), "parts": Path("data/split.csv")}
    files.write_json(folder / "croissant.json", croissant.describe(found.dataset, described, folder))
    counted = tables.summarise(own) | {"confounders": ranking.summarise(ranked)}
    results.write("metrics/eda.json", results.Eda.model_validate(counted))


if __name__ == "__main__":
    process.run(main)
