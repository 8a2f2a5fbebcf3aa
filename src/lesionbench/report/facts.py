"""Facts of a run in sentences, by name, with which the checklists are answered. What a run does not have is absent."""

from collections.abc import Mapping, Sequence
from typing import Any

from lesionbench.core.tasks import SPLITS
from lesionbench.evidence.names import ENSEMBLE, HEADLINE, METRICS, RIVALS, RULES, SKILLS, TASKS
from lesionbench.report import claims, sentences
from lesionbench.report.formats import interval, number
from lesionbench.report.sentences import SPLITS as NAMED

KEPT = {"all": "all images", "one_per_lesion": "one image of each lesion", "singletons": "lesions with one image"}


def of_run(page: Mapping[str, Any]) -> dict[str, str]:
    """All facts of the run that `page`, a page.Page, shows."""
    values = {f"{part.name}.{key}": value for part in page["parameters"] for key, value, _ in part.rows}
    found = _data(page["found"], values) | _split(page["found"], values)
    found |= _training(page["tasks"], values) | _scores(page["tasks"], page["resamples"], page["found"])
    packages = ", ".join(f"{name} {version}" for name, version in page["versions"].items() if version)
    index, split = page["found"]["index"], page["found"]["split"]
    limits = [claims.patients(index["dataset"], index["cohorts"][index["dataset"]], split)]
    limits.append("One training stands behind each network, so intervals leave out what another would change.")
    limits += ["No score here is of people."] if index["dataset"] == "phantom" else []
    limits += ["The split leaks on purpose, so all scores are too good."] if split["leaky"] else []
    return found | {"versions": f"{packages}.", "limits": " ".join([*limits, found.get("no_external", "")]).strip()}


def _data(found: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Facts of the images and of what is known of them."""
    index, eda = found["index"], found["eda"]
    cohorts, dataset = index["cohorts"], index["dataset"]
    own, others = cohorts[dataset], [name for name in cohorts if name != dataset]
    elsewhere = "".join(f" External cohort {name}: {number(cohorts[name]['images'], 0)} images." for name in others)
    age = "No age is known." if eda["mean_age"] is None else f"The mean age is {number(eda['mean_age'], 1)} years."
    sourced = own["missing"]["source"] < own["images"]
    hair = str(sentences.hair(found["hair"]).striptags()).replace("\xa0", " ")
    prepared = (
        f"Each image was decoded in full, checked, and made {values['pixels.size']}×{values['pixels.size']} px "
        f"(pixels.fit: {values['pixels.fit']}, pixels.colour: {values['pixels.colour']})."
    )
    excluded = found["split"]["splits"].get("excluded", {"images": 0})["images"]
    told = {
        "data": f"{dataset}: {number(own['images'], 0)} images of {number(own['lesions'], 0)} lesions.{elsewhere}",
        "classes": f"Images by diagnosis: {_counts(own['images_by_dx'])}.",
        "missing": f"Images without a value: {_counts(own['missing'])}. Ages of 0: {number(own['age_zero'], 0)}.",
        "flags": f"Quality flags: {_counts(own['flagged'])}.",
        "demography": f"{age} Age, sex and site by diagnosis stand in the figures.",
        "cheats": str(sentences.strongest(eda["confounders"]).striptags()).replace("\xa0", " "),
        "clusters": "Images come from several sources, which differ in diagnoses and colours; figures show how far."
        if sourced
        else "The sources of the images are unknown.",
        "preparation": prepared,
        "hair": hair,
        "left_out": f"{sentences.left_out(cohorts)} Images that the split excludes: {number(excluded, 0)}.".strip(),
    }
    return {**told, "poor": f"Poor images are flagged and kept. {told['flags']} A missing value counts as missing."}


def _split(found: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Facts of the split."""
    split, index = found["split"], found["index"]
    parts = {name: split["splits"][name] for name in SPLITS[:3]}
    sizes = ", ".join(f"{name} {number(part['images'], 0)}" for name, part in parts.items())
    melanomas = "; ".join(
        f"{name} {number(part['images'], 0)} images of {number(part['groups'], 0)} groups of lesions, "
        f"{number(part['images_by_dx']['mel'], 0)} of melanomas"
        for name, part in list(parts.items())[1:]
    )
    some, source = values["dataset.max_lesions"], values["split.holdout_source"]
    kept = f"Taken were {KEPT[values['split.images']]}"
    kept += "." if some == "null" else f" of {some} lesions that were drawn at random by diagnosis."
    unit = "image, on purpose" if split["leaky"] else sentences.units(split).split(",")[0].removesuffix("s")
    held_out = "" if source == "null" else f" The test images are those of the source {source}."
    own = index["cohorts"][index["dataset"]]
    return {
        "split": f"Split at random by {unit}, evenly by diagnosis: {sizes} images.{held_out}",
        "subset": kept,
        "apart": str(sentences.leaks(split["leaking_groups"], split["leaky"]).striptags()),
        "patients": claims.patients(index["dataset"], own, split),
        "test_size": f"{melanomas[:1].upper()}{melanomas[1:]}.",
    }


def _training(tasks: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Facts of the networks, of their training and of what was chosen."""
    first = next(iter(tasks.values()))
    train, names = first["train"], list(first["train"])
    saw = next(iter(train.values())).get("metadata", [])
    own = values["train.overrides"]
    differs = "" if own == "{}" else f" For some networks: {own}."
    networks = ", ".join(f"{name} ({number(run['parameters'] / 1e6, 1)} million)" for name, run in train.items())
    began = ", ".join(f"{name} with {sentences.weights(run['weights'])}" for name, run in train.items())
    varied = ", ".join(
        f"{key.partition('.')[2]} {value}"
        for key, value in values.items()
        if key.startswith("augment.") and value not in ("0", "0.0", "false")
    )
    chosen = "; ".join(
        f"{each['compare']['chosen']} for “{TASKS[task]}” by {METRICS[HEADLINE[task]].label}"
        for task, each in tasks.items()
    )
    goals = " and ".join(f"“{TASKS[task]}”" for task in tasks)
    rule = sentences.decision(next(iter(first["evaluate"].values()))["decision"])
    return {
        "technique": f"Deep learning on images: {', '.join(names)}.",
        "goal": f"To train, evaluate and compare networks for {goals}; number of networks: {len(names)}.",
        "outcome": f"Tasks: {goals}. Diagnoses are those of HAM10000: akiec, bcc, bkl, df, mel, nv, vasc.",
        "networks": f"Networks with their parameters: {networks}. Names are those of torchvision and timm.",
        "start": f"Training began for {began}.",
        "training": (
            f"AdamW, at most {values['train.epochs']} epochs, batches of {values['train.batch_size']}, a peak rate of "
            f"{values['train.learning_rate']}, weight decay {values['train.weight_decay']}, label smoothing "
            f"{values['train.label_smoothing']}, class balance {values['train.class_balance']}."
            f"{differs}"
        ),
        "augmentation": f"Training images are varied: {varied}.",
        "choice": (
            f"Of each training, the epoch with the best {values['train.monitor'].replace('_', ' ')} on the validation "
            f"split was kept. Chosen on the validation split: {chosen}. The test split chose nothing."
        ),
        "predictors": f"Input is the image{', with ' + ', '.join(saw) if saw else ' alone'}.",
        "metadata": "A missing value counts as 0, and training hid some on purpose."
        if saw
        else "The networks see the image alone, so a missing value changes no prediction.",
        "prediction": (
            "Logits are divided by a temperature and get a bias for each class. Of seven, a line then moves the "
            "log-odds of melanoma. All are fitted on the validation split. "
            f"What comes out is a probability of each class. Views of an image: {values['evaluate.views']}."
        ),
        "rule": rule,
        "balance": f"Class balance in training: {values['train.class_balance']}. {rule} Means are over classes.",
    }


def _scores(tasks: Mapping[str, Any], resamples: Mapping[str, int], found: Mapping[str, Any]) -> dict[str, str]:
    """Facts of what was measured, on test or, while that is sealed, on val."""
    scores, calibrated, explained, external, operating = [], [], [], [], []
    for task, each in tasks.items():
        name, split = each["compare"]["chosen"], each["compare"]["split"]
        own, heat = each["members"][name], each["explain"][name]
        scores.append(f"{TASKS[task]}, {name}, {NAMED[split]}: {_told(own[split], task)}.")
        said = claims.calibrated(own[split], split == "val", resamples["evaluate"])
        calibrated.append(f"{TASKS[task]}, {name}, {NAMED[split]}: {said}")
        shown = number(heat["energy_in_lesion"], 2), number(heat["lesion_area"], 2)
        explained.append(
            f"{TASKS[task]}, {name}: Grad-CAM has {shown[0]} of its energy inside the lesion, which covers "
            f"{shown[1]} of the image: {claims.explained(heat, resamples['explain'])}."
        )
        external += [f"{TASKS[task]}, {name}, {cohort}: {_told(s, task)}." for cohort, s in own["external"].items()]
        points = own[split].get("operating_points", {})
        operating += [f"{TASKS[task]}, {name}, {NAMED[split]}: {_points(points)}."] if points else []
    first = next(iter(tasks.values()))
    members, split, sealed = first["members"], found["split"], first["compare"]["split"] == "val"
    labels = [metric.label for metric in (*METRICS.values(), *SKILLS.values())]
    told = {
        "scores": " ".join([*scores, sentences.seal("val" if sealed else "test")]).strip(),
        "calibrated": " ".join(calibrated),
        "explained": " ".join(explained),
        "operating": " ".join(operating),
        "external": " ".join(external),
        "metrics": f"{', '.join(labels)}; by image and by lesion. Rules of decision: {', '.join(RULES)}.",
        "ensemble": "The mean of all networks' calibrated probabilities, calibrated once more on the validation split."
        if ENSEMBLE in members
        else "",
        "intervals": str(sentences.intervals(resamples["evaluate"], sentences.units(split)).striptags())
        if resamples["evaluate"]
        else "",
        "compared": f"Each network stands beside three trivial predictors: {', '.join(RIVALS.values())}.",
        "no_external": ""
        if external
        else "External cohorts are sealed, as the test split is."
        if sealed
        else "No external cohort came with the data.",
    }
    differs = bool(first["compare"]["differences"])
    told["compared"] += " Networks are compared in pairs on the same images." if differs else ""
    told["pairs"] = (
        sentences.paired(resamples["compare"], sentences.units(split)) if differs else "There is one network."
    )
    return {name: text.replace("\xa0", " ") for name, text in told.items() if text}


def _told(scores: Mapping[str, Any], task: str) -> str:
    """The main scores of a task with their intervals, and how many images they are of."""
    names = dict.fromkeys((HEADLINE[task], "roc_auc", "balanced_accuracy", "log_loss_skill"))
    parts = [f"{(METRICS | SKILLS)[name].label} {_with(scores, name)}" for name in names]
    return f"{', '.join(parts)}; {number(scores['n'], 0)} images of {number(scores['lesions'], 0)} lesions"


def _points(points: Mapping[str, Any]) -> str:
    return "; ".join(
        f"threshold {number(point['threshold'])}, set for a sensitivity of {name.rpartition('_')[2]} on the validation "
        f"split: sensitivity {_with(point, 'sensitivity')}, specificity {_with(point, 'specificity')}"
        for name, point in points.items()
    )


def _with(scores: Mapping[str, Any], name: str) -> str:
    ci: Sequence[float] | None = scores.get(f"{name}_ci")
    return f"{number(scores[name])}{f' ({interval(ci)})' if ci else ''}"


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number(n, 0)}" for name, n in counted.items())
