"""Draw and tabulate the data as it is split."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import confounders, datasheet, eda, figures, files, params

FOLDER = Path("reports/eda")


def main() -> None:
    config = params.load("seed", "eda")
    index = files.read_csv("data/index.csv")
    split = files.read_csv("data/split.csv")[["image_id", "group_id", "split"]]
    hair = files.read_csv("data/hair.csv")
    table = index.merge(split, on="image_id", validate="1:1").merge(hair, on="image_id", validate="1:1")
    found = files.read_json("metrics/index.json")
    own = table[table["cohort"].eq(found["dataset"])]
    ranking = confounders.rank(confounders.by_lesion(own), config.eda.bootstrap, config.seed)
    tables = {**eda.tables(own, table, ranking), **confounders.tables(own, ranking)}
    for name, (numbers, figure) in tables.items():
        files.write_csv(FOLDER / f"{name}.csv", numbers.reset_index() if numbers.index.name else numbers)
        figures.save(figure, FOLDER / f"{name}.svg")
    figures.save(eda.draw_samples(own, config.eda.samples_per_class, config.seed), FOLDER / "samples.webp")
    figures.save(eda.draw_flagged(own, config.eda.samples_per_class, config.seed), FOLDER / "flagged.webp")
    files.write_json("metrics/eda.json", eda.summarise(own) | {"confounders": confounders.summarise(ranking)})
    page = datasheet.render(found, table, ranking)
    files.write_bytes(FOLDER / "datasheet.md", page.encode())


if __name__ == "__main__":
    errors.run(main)
