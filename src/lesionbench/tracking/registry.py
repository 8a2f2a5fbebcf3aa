"""Models in MLflow: one a training, and a registered model whose alias `champion` is the backbone that val chose.

The checkpoint is an artefact of its training's run, and lies there once. The logged model, which fills MLflow's column
Models and its tab Models, says where. A version of the registered model has the run's artefacts as its source, so that
`mlflow artifacts download -u models:/<name>@champion` brings the checkpoint, and the report beside it.
"""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ALIAS = "champion"


def model_of(run: Any) -> str | None:
    """The id of the logged model of a run, or None."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return str(outputs[0].model_id) if outputs else None


def ensure_model(client: Any, run_id: str) -> None:
    """Make the logged model of a training's run, unless there is one."""
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(run_id)
    if model_of(run) is not None:
        return
    tags = {name: run.data.tags[name] for name in ("backbone", "task", "dataset", "train_key")}
    made = client.create_logged_model(
        run.info.experiment_id,
        name=re.sub(r"""[/:.%"']""", "_", tags["backbone"]),  # all that MLflow refuses
        source_run_id=run_id,
        tags=tags,
        model_type="safetensors",
    )
    with TemporaryDirectory() as folder:
        note = Path(folder, "README.md")
        note.write_text(
            f"The checkpoint is an artefact of the run {run_id}:\n\n    mlflow artifacts download -r {run_id}\n",
            encoding="utf-8",
        )
        client.log_model_artifact(made.model_id, str(note))
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])


def crown(client: Any, name: str, run_id: str) -> None:
    """Point the alias `champion` of the registered model `name` to the checkpoint of a run; one version a run.

    Args:
        client: MLflow's.
        name: of the experiment; what a registered model's name may not hold is replaced.
        run_id: of the backbone that val chose.
    """
    from mlflow.exceptions import MlflowException

    name = re.sub("[/:]", "_", name)
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name, description="The alias champion is the backbone that val chose.")
    there = [each for each in client.search_model_versions(f"run_id = '{run_id}'") if each.name == name]
    run = client.get_run(run_id)
    if not there:
        there = [
            client.create_model_version(name, run.info.artifact_uri, run_id, description=run.data.tags["backbone"])
        ]
        if (model := model_of(run)) is not None:  # links the tab Models to the version
            versions = json.dumps([{"name": name, "version": there[0].version}])
            client.set_logged_model_tags(model, {"mlflow.modelVersions": versions})
    if client.get_registered_model(name).aliases.get(ALIAS) != str(there[0].version):
        client.set_registered_model_alias(name, ALIAS, there[0].version)
