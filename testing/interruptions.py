"""Interrupt each stage for real, run `dvc repro` again, and compare with a run that nobody disturbed.

    python testing/interruptions.py WORK_FOLDER [--seed 0] [--stages download,pack] [--mirror URL_OR_FOLDER]

Not a test of the suite: it takes about 20 minutes. It copies the project to WORK_FOLDER, with the small parameters of
mini_pipeline.py, and prints a Markdown table; what the terminal said goes to WORK_FOLDER/log. With --mirror the dataset
is HAM10000 and only its download is interrupted. A full disk needs Linux and root (a tmpfs is mounted at
WORK_FOLDER/project); elsewhere that kind is left out.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from mini_pipeline import ROOT, dump_yaml, mini_params, read_yaml
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

KINDS = {
    "ctrl-c": ("Ctrl-C", (0.2, 0.8)),
    "kill": ("kill -9 of all", (0.2, 0.8)),
    "kill-stage": ("kill -9 of the stage", (0.5,)),
    # Of what the stage writes, so much fits: nothing, a part, or all of it but not DVC's copy.
    "full-disk": ("full disk", (0.0, 0.5, 1.3)),
}
SAID = {
    r"interrupted: run the same command again": "one line",
    r"ERROR: interrupted by the user": "DVC: interrupted by the user",
    r"error: .*free some space and run": "one line",
    r"ERROR: .*(No space left on device|No possible cache link types)": "DVC: no space left on device",
}


class Project:
    """A copy of the project in a folder of its own, and how it looks undisturbed."""

    def __init__(self, work: Path, mirror: str | None):
        self.root, self.kept, self.log = work / "project", work / "undisturbed", work / "log"
        self.goal = ["download"] if mirror else []
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in listed.stdout.split("\0")[:-1]:
            if name != "dvc.lock" and not name.startswith(("metrics/", "tests/", "testing/")):
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.root / name)
        config = mini_params()
        if mirror:
            config["dataset"] |= {"source": "ham10000", "mirror": mirror}
        dump_yaml(config, self.root / "params.yaml")
        subprocess.run(["git", "init", "--quiet"], cwd=self.root, check=True)
        self.seconds: dict[str, float] = {}
        if self.repro(lambda line, _: self.clock(line)):
            sys.exit(f"the undisturbed run failed: {self.log}")
        subprocess.run(["git", "add", "dvc.lock"], cwd=self.root, check=True)
        subprocess.run(["cp", "-a", self.root, self.kept], check=True)

    def clock(self, line: str) -> None:
        """Measure the stages: from DVC's line that starts one to the line that writes its results down."""
        now = time.monotonic()
        if found := re.match(r"Running stage '(.+)'", line):
            self.running, self.since = found[1], now
        elif line.startswith("Updating lock file"):
            self.seconds[self.running] = now - self.since

    def repro(self, on_line=lambda line, process: None) -> int:
        """Run `dvc repro` in a process group of its own; `on_line` sees each line, and the process."""
        environment = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "LESIONBENCH_CACHE")}
        environment["PYTHONUNBUFFERED"] = "1"
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        with subprocess.Popen(
            ["dvc", "repro", *self.goal], cwd=self.root, start_new_session=True, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process, self.log.open("a") as log:  # fmt: skip
            assert process.stdout
            for line in process.stdout:
                log.write(line)
                on_line(line, process)
        return process.returncode

    def processes(self) -> list[psutil.Process]:
        """Processes that work in the project; a zombie has no folder."""
        every = psutil.process_iter(["cwd", "cmdline"])
        return [process for process in every if (process.info["cwd"] or "").startswith(str(self.root))]

    def undo(self, stage: str) -> list[Path]:
        """Make a stage run anew: away with its outputs and all that is remembered. Returns the outputs."""
        outs = read_yaml(self.kept / "dvc.lock")["stages"][stage]["outs"]
        stored = [f".dvc/cache/files/md5/{out['md5'][:2]}/{out['md5'][2:]}" for out in outs]
        for name in [*(out["path"] for out in outs), *stored, ".cache", ".dvc/cache/runs"]:
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return [self.kept / out["path"] for out in outs]

    def as_undisturbed(self) -> bool:
        """Whether lock and metrics have the same bytes; what a killed DVC leaves hidden is ignored by it and by git."""

        def results(root: Path) -> dict[str, bytes]:
            files = [root / "dvc.lock", *(root / "metrics").rglob("*")]
            return {
                str(file.relative_to(root)): file.read_bytes()
                for file in files
                if file.is_file() and file.name[0] != "."
            }

        return results(self.root) == results(self.kept)

    def mend(self) -> list[str]:
        """Do by hand what DVC leaves to the user, as it writes these two in place; returns the commands."""
        remedies = {"dvc.lock": "git checkout dvc.lock", ".dvc/tmp/rwlock": "rm .dvc/tmp/rwlock"}
        broken = [name for name in remedies if not readable(self.root / name)]
        for name in broken:
            subprocess.run(remedies[name].split(), cwd=self.root, check=True, capture_output=True)
        return [f"`{remedies[name]}`" for name in broken]

    def restore(self) -> None:
        for entry in self.root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        subprocess.run(["cp", "-a", f"{self.kept}/.", self.root], check=True)


def readable(path: Path) -> bool:
    """Whether the file is what DVC reads. A lock that is cut off between two of its lines is YAML, but no lock."""
    try:
        found = read_yaml(path)
        if path.name == "dvc.lock":
            COMPILED_LOCKFILE_SCHEMA(found)
        return isinstance(found, dict)
    except (YAMLError, Invalid):
        return False


def fill(ballast: Path, left: int) -> None:
    """Fill the disk up to `left` bytes, while others write to it."""
    with ballast.open("wb") as file:
        size = shutil.disk_usage(ballast).free - left
        while size > 0:
            try:
                return os.posix_fallocate(file.fileno(), 0, size)
            except OSError:
                size -= 1 << 14


def interrupt(project: Project, stage: str, kind: str, moment: float) -> list[str]:
    """One interruption; returns what was said and left behind, in words."""
    written = [file for out in project.undo(stage) for file in [out, *out.rglob("*")] if file.is_file()]
    said: list[str] = []
    ballast = project.root / ".dvc/tmp/ballast"

    def strike(process: subprocess.Popen) -> None:
        if kind == "kill-stage":
            for each in project.processes():
                if each.info["cmdline"][1].startswith("pipeline/"):
                    each.kill()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGINT if kind == "ctrl-c" else signal.SIGKILL)

    def on_line(line: str, process: subprocess.Popen) -> None:
        said.append(line)
        if not line.startswith(f"Running stage '{stage}'"):
            return
        if kind == "full-disk":
            fill(ballast, int(moment * sum(file.stat().st_blocks * 512 for file in written)))
        else:
            threading.Timer(moment * project.seconds[stage], strike, [process]).start()

    project.log.open("a").write(f"\n=== {stage} {kind} {moment:.2f}\n")
    status = project.repro(on_line)
    ballast.unlink(missing_ok=True)
    words = sorted({word for key, word in SAID.items() if any(re.match(key, line) for line in said)})
    words = words or ["nothing" if status else "nothing, it had finished"]
    words += ["TRACEBACK"] if any("Traceback" in line for line in said) else []
    deadline = time.monotonic() + 15
    while (left := project.processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return words + [f"{len(left)} PROCESSES LEFT" for _ in left[:1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--stages")
    parser.add_argument("--mirror")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell's background job ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work, kinds = options.work.resolve(), list(KINDS)
    (work / "project").mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", work / "project"], check=False)
    if mounted.returncode:
        kinds.remove("full-disk")
    draw = random.Random(options.seed)
    try:
        project = Project(work, options.mirror)
        print("| stage | kind | moments | what the terminal said | `dvc repro` then gives the same bytes |")
        print("|---|---|---|---|---|", flush=True)
        for stage in project.seconds:
            if not options.stages or stage.partition("@")[0] in options.stages.split(","):
                for kind in kinds:
                    row(project, stage, kind, draw)
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", work / "project"], check=False)


def row(project: Project, stage: str, kind: str, draw: random.Random) -> None:
    """All moments of one kind of interruption of one stage: a row of the table."""
    title, moments = KINDS[kind]
    said: Counter[str] = Counter()
    shown, by_hand = [], []
    same = 0
    for near in moments:
        moment = near if kind == "full-disk" else near + draw.uniform(-0.15, 0.15)
        shown.append(f"{moment:.0%}")
        said[" + ".join(interrupt(project, stage, kind, moment))] += 1
        again = project.repro()
        if again and (done := project.mend()):
            by_hand += done
            again = project.repro()
        if again == 0 and project.as_undisturbed():
            same += 1
        else:
            with project.log.open("a") as log:
                log.write(f"!!! not as undisturbed, status {again}\n")
            project.restore()
    words = "; ".join(f"{word} ({n}×)" if len(moments) > 1 else word for word, n in said.items())
    verdict = "yes" if same == len(moments) else f"**{same} of {len(moments)}**"
    verdict += f", once after {' and '.join(by_hand)}" if by_hand else ""
    print(f"| {stage} | {title} | {', '.join(shown)} | {words} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
