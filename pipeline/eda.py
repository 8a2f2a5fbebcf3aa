"""Draw and tabulate the data as it is split."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import eda, figures, files, params

FOLDER = Path("reports/eda")


def main() -> None:
    config = params.load("seed", "eda")
    index = files.read_csv("data/index.csv")
    split = files.read_csv("data/split.csv")[["image_id", "group_id", "split"]]
    hair = files.read_csv("data/hair.csv")
    table = index.merge(split, on="image_id", validate="1:1").merge(hair, on="image_id", validate="1:1")
    own = table[table["cohort"].eq(files.read_json("metrics/index.json")["dataset"])]
    for name, (numbers, figure) in eda.tables(own, table).items():
        files.write_csv(FOLDER / f"{name}.csv", numbers.reset_index())
        figures.save(figure, FOLDER / f"{name}.svg")
    figures.save(eda.draw_samples(own, config.eda.samples_per_class, config.seed), FOLDER / "samples.webp")
    files.write_json("metrics/eda.json", eda.summarise(own))


if __name__ == "__main__":
    errors.run(main)
