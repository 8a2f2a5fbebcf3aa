"""A team's server: MLflow on PostgreSQL, with files in S3. It is killed while two queued experiments train at once.

Nothing is lost and nothing is there twice. This takes longer than other tests, so `make test` leaves it out.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import drawn_results
import pandas as pd
import pytest
import servers
from mini_pipeline import EXEMPT, ROOT, Command, copy, dump_yaml, mini_params, read_yaml
from small_training import POLICY, TRAIN, VAL, draw_pixels

from lesionbench.core import files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(servers.pg_ctl() is None, reason="there is no PostgreSQL"),
    pytest.mark.skipif(find_spec("psycopg") is None, reason="there is no driver of PostgreSQL (extra `server`)"),
]

BUCKET, EPOCHS, BACKBONE = "lesions", 4, "timm:test_convnext"
MODEL = f"{BACKBONE}.safetensors"


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Tracking]:
    """MLflow on an empty database and an empty bucket. Only the server has what opens the bucket."""
    with servers.s3(BUCKET) as s3, servers.postgresql() as database:
        where = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/mlflow"}
        server = servers.Tracking(tmp_path_factory.mktemp("server"), MLFLOW_S3_ENDPOINT_URL=s3, **where)
        server.start()
        yield server
        server.kill()


@pytest.fixture
def repository(tmp_path: Path, call: Command) -> Iterator[Path]:
    """A repository with the stage `train` of dvc.yaml, and what the stages before it write, drawn and small."""
    folder = tmp_path / "project"
    stage = read_yaml((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    for dep in ["pipeline/track.py", "src", *stage["deps"], *EXEMPT]:
        if not dep.startswith("data/") and not (folder / dep).exists():
            copy(ROOT / dep, folder / dep)
    dump_yaml({"stages": {"train": stage}}, folder / "dvc.yaml")
    config = mini_params() | {"backbones": [BACKBONE]}
    config["pixels"]["size"] = 32
    config["train"] |= {"epochs": EPOCHS, "batch_size": 24, "weights": "none", "patience": 9, "accelerator": "cpu"}
    dump_yaml(config, folder / "params.yaml")
    (folder / "data").mkdir()
    draw_pixels(folder / "data/pixels.npy")
    dx = ["mel" if n % 2 == 0 else "nv" for n in range(TRAIN + VAL)]
    split = pd.DataFrame({"image_id": range(TRAIN + VAL), "dx": dx, "split": ["train"] * TRAIN + ["val"] * VAL})
    split.assign(cohort="own").to_csv(folder / "data/split.csv", index=False)
    files.write_json(folder / "data/augmentation.json", POLICY)
    files.write_json(folder / "metrics/index.json", {"dataset": "own", "cohorts": {}})
    (folder / ".gitignore").write_text("/models\n__pycache__\n/.mlflow.lock\n")
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "init", "--quiet")
    call(folder, "git", "add", ".")
    call(folder, "git", "commit", "--quiet", "--message", "start")
    yield folder
    call(folder, "dvc", "queue", "stop", "--kill")


def wait(for_what: Callable[[], bool], repository: Path, call: Command) -> None:
    """Wait until something has come about."""
    until = time.monotonic() + 300
    while not for_what():
        assert time.monotonic() < until, call(repository, "dvc", "queue", "status")
        time.sleep(0.2)


def test_a_server_that_dies_costs_two_experiments_nothing(
    repository: Path, call: Command, tmp_path: Path, tracking: servers.Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking.address)

    def runs() -> dict[str, Any]:
        """By seed."""
        found = client.search_experiments(filter_string="name = 'own-melanoma'")
        made = client.search_runs([found[0].experiment_id]) if found else []
        assert len({run.data.tags["train_key"] for run in made}) == len(made)
        return {run.data.params["seed"]: run for run in made if "seed" in run.data.params}

    def epochs(run: Any) -> dict[int, int]:
        """How often each epoch is there."""
        return Counter(point.step for point in client.get_metric_history(run.info.run_id, "train_loss"))

    def finished(seed: int) -> bool:
        refs = call(repository, "git", "for-each-ref", "--format=%(refname)", "refs/exps")
        return any(ref.endswith(f"/seeds-{seed}") for ref in refs.split())

    held = tmp_path / "held"
    held.mkdir()
    for file in ("1-0", "2-0", "2-1"):
        (held / file).touch()
    here = {"MLFLOW_TRACKING_URI": tracking.address, "LESIONBENCH_CACHE": str(tmp_path / "cache"), "HELD": str(held)}
    here["LAUNCH"] = f"python {ROOT}/testing/held.py"
    call(repository, "dvc", "exp", "run", "--queue", "--name", "seeds", "-S", "seed=1,2")
    # The workers would keep a pipe open.
    call(repository, "sh", "-c", "dvc queue start --jobs 2 > ../queue.log 2>&1", **here)

    wait(lambda: [*map(epochs, runs().values())] == [{0: 1}] * 2, repository, call)
    tracking.kill()
    (held / "1-0").unlink()  # the first ends without a server
    (held / "2-0").unlink()
    wait(lambda: (held / "2-1.waits").exists() and finished(1), repository, call)
    tracking.start()
    (held / "2-1").unlink()  # the second finds it again
    wait(lambda: finished(2), repository, call)

    every = dict.fromkeys(range(EPOCHS), 1)
    first, second = runs()["1"], runs()["2"]
    assert (epochs(first), first.info.status) == ({0: 1}, "RUNNING")
    assert (epochs(second), second.info.status) == (every, "FINISHED")
    assert client.list_artifacts(first.info.run_id) == []

    call(repository, "dvc", "exp", "apply", "seeds-1")
    evaluated = drawn_results.evaluation(opened=False, key=first.data.tags["train_key"])
    files.write_json(repository / f"metrics/evaluate/melanoma/{BACKBONE}.json", evaluated)
    here["MLFLOW_TRACKING_URI"] = tracking.address.replace("://", "://anna:secret@")
    said = call(repository, "python", "pipeline/track.py", PYTHONPATH="src", **here)
    assert f"tracked as {evaluated['train_key']}" in said
    assert "secret" not in said
    assert [epochs(run) for run in runs().values()] == [every, every]
    assert {run.info.status for run in runs().values()} == {"FINISHED"}
    assert runs()["1"].data.metrics["val_roc_auc"] == pytest.approx(evaluated["val"]["roc_auc"])

    stored = boto3.client("s3", endpoint_url=tracking.environment["MLFLOW_S3_ENDPOINT_URL"])
    keys = [each["Key"] for each in stored.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert sum(key.startswith("mlflow/") and key.endswith(f"/{MODEL}") for key in keys) == 2
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # a colleague has none
        monkeypatch.delenv(name)
    for run in runs().values():
        (made,) = (tmp_path / "cache/models").glob(f"{run.data.tags['train_key']}-*/model.safetensors")
        back = client.download_artifacts(run.info.run_id, MODEL, str(tmp_path))
        assert Path(back).read_bytes() == made.read_bytes()
