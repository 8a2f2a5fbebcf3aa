"""Show and measure what one trained backbone looks at and knows: python pipeline/explain.py TASK BACKBONE.

Reads the model, its predictions, data/index.csv, data/split.csv, data/pixels.npy and the lesion masks in data/raw/.
Writes reports/gradcam/<task>/<backbone>.webp, Grad-CAM on test images (val's while test is sealed),
reports/failures/<task>/<backbone>.webp, errors beside the training images that the network finds most alike, and
metrics/explain/<task>/<backbone>.json: the share of Grad-CAM's energy inside the lesion, how far images lie from those
of training, and whether the nearest of these have the same diagnosis. An energy that is no higher than that of other
images' maps, or of an untrained network's, says nothing of the lesion.
"""

from lesionbench.core import process


def main(task: str, backbone: str) -> None:
    from pathlib import Path

    import numpy as np

    from lesionbench import figures, params, results
    from lesionbench.core import files, machine, tasks
    from lesionbench.evidence import explain, failures, neighbours, outside, predictions
    from lesionbench.networks import model_file
    from lesionbench.networks.predict import features

    config = params.load("seed", "explain", "evaluate.decision", "evaluate.cost", "train.accelerator")
    section, seed, device = config.explain, config.seed, machine.device(config.train.accelerator)
    made, described = model_file.load_model(Path(f"models/{task}/{backbone}.safetensors"))
    name, fit = f"{backbone}, task {task}", described["settings"]["fit"]  # type: ignore[index]
    predicted = files.read_csv(f"data/predictions/{task}/{backbone}.csv")
    called, classes = predictions.called(predicted, task, config.evaluate), tasks.classes_of(task)
    seen = explain.located(predicted, files.read_csv("data/index.csv"), classes, called)
    pixels = np.load("data/pixels.npy", mmap_mode="r")
    rows = explain.choose_rows(seen, section, seed)
    blank = explain.untrained(described, pixels[rows["row"][: explain.NORMALISED_ON]], seed)
    found, sheet = explain.explain(made, blank, rows, pixels, section, seed, name, device, fit, classes=classes)

    split = files.read_csv("data/split.csv")
    train = split[split["split"].eq("train")]
    known, _ = features(made, pixels, train.index.to_numpy(), section.batch_size, device)
    own, logits = features(made, pixels, seen["row"].to_numpy(), section.batch_size, device)
    strange = {}
    for kind, (frames, groups) in outside.strangers(pixels.shape[1], fit, seed).items():
        of_frames = features(made, frames, np.arange(len(frames)), section.batch_size, device)
        strange[kind] = outside.see(*of_frames, groups, known)
    alike = outside.see(own, logits, seen["group_id"].to_numpy(), known)
    found["outside"] = outside.examine(seen, alike, strange, section.bootstrap, seed)

    shown = seen[seen["shown"]]
    groups, dx = shown["group_id"].to_numpy(), shown["dx"].to_numpy()
    near, far = neighbours.nearest(own[shown.index], known, train["group_id"].to_numpy())
    found["neighbours"] = neighbours.agreement(near, dx, train, groups, section.bootstrap, seed)
    explained = results.Explanation.model_validate({"layer": made.cam_layer, **found})
    results.write(f"metrics/explain/{task}/{backbone}.json", explained)
    figures.save(sheet, Path(f"reports/gradcam/{task}/{backbone}.webp"))

    failed = failures.choose(shown.assign(place=np.arange(len(shown))), section.images)
    images, near, far = pixels[failed["row"]], near[failed["place"]], far[failed["place"]]
    maps = explain.grad_cam(made, images, failed["label_number"].to_numpy(), section.batch_size, device)
    similar = train.iloc[near.ravel()]
    titles = failures.titles(similar["dx"].to_numpy().reshape(near.shape), far)
    title = f"Errors of {name} on {found['split']}, missed melanomas first, beside the most similar training images"
    beside = pixels[similar.index].reshape(*near.shape, *pixels.shape[1:])
    drawn = failures.draw(failed, images, explain.scaled(maps), beside, titles, title)
    figures.save(drawn, Path(f"reports/failures/{task}/{backbone}.webp"))


if __name__ == "__main__":
    process.run(main)
