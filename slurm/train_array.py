"""What train_array.sbatch does, by submitit: pip install submitit, then python slurm/train_array.py.

The options of sbatch are keyword arguments of update_parameters, with slurm_ before them.
"""

import subprocess

import submitit


def train(stage: str) -> None:
    """Run a training's stage, on the node that SLURM chose."""
    subprocess.run(["tools/repro_stage.sh", stage], check=True)


if __name__ == "__main__":
    told = subprocess.run(["dvc", "stage", "list", "--name-only", "train"], check=True, capture_output=True, text=True)
    executor = submitit.AutoExecutor("slurm/log")
    executor.update_parameters(timeout_min=24 * 60, slurm_job_name="lesionbench")
    for job in executor.map_array(train, told.stdout.split()):
        job.result()
