"""Two Dask workers do the work on images, one of them is killed, and what is written are the bytes of threads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sections
from work import die, dying_once, half, threads

from lesionbench import pack
from lesionbench.core import parallel
from lesionbench.core.errors import UserError
from lesionbench.core.files import read_csv, write_csv
from lesionbench.duplicates import search
from lesionbench.hair import remove
from lesionbench.index.images import build_index
from lesionbench.sources.phantom import draw_dataset

dask = pytest.importorskip("dask", reason="the extra cluster is not installed")
distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")

pytestmark = pytest.mark.slow
IMPORTED = ("lesionbench.duplicates.search", "lesionbench.hair.remove", "lesionbench.index.images", "lesionbench.pack")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers, each a process with one thread."""
    space = str(tmp_path_factory.mktemp("space"))
    options: dict[str, Any] = {"dashboard_address": None, "silence_logs": "CRITICAL", "local_directory": space}
    settings = {"distributed.worker.multiprocessing-method": "forkserver", "distributed.scheduler.allowed-failures": 1}
    with dask.config.set(settings):
        # The workers import nothing then, and start in a third of the time.
        distributed.utils.get_mp_context().set_forkserver_preload(["distributed", *IMPORTED])
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def workers(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LESIONBENCH_JOBLIB", "dask")
    with dask.config.set({"scheduler-address": address}):  # DASK_SCHEDULER_ADDRESS was read at import
        yield


def call(function: Any, numbers: range) -> list:
    return list(parallel.for_each(function, [(n,) for n in numbers], function.__name__, len(numbers)))


def test_a_task_works_alone(workers: None) -> None:
    assert call(threads, range(4)) == [{1}] * 4


def test_an_error_there_is_an_error_here(workers: None) -> None:
    with pytest.raises(UserError, match="-1 is below 0"):
        call(half, range(-1, 4))


def test_other_code_is_refused(workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_code", lambda function: "of yesterday")
    with pytest.raises(UserError, match="has other code, or other packages, than here"):
        call(half, range(4))


def test_a_folder_that_a_worker_does_not_see_is_told(workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/nowhere")
    with pytest.raises(UserError, match="cannot work in /nowhere: No such file"):
        call(half, range(4))


def test_an_address_must_be_given(workers: None) -> None:
    with dask.config.set({"scheduler-address": None}), pytest.raises(UserError, match="needs DASK_SCHEDULER_ADDRESS"):
        call(half, range(4))


def written(folder: Path) -> dict[str, bytes]:
    """What index, duplicates, hair and pack write into `folder`, of the drawn images in the working folder."""
    index = build_index(Path("raw"), "phantom")
    write_csv(folder / "index.csv", index)
    pair = read_csv("raw/duplicate_pairs.csv").iloc[0].to_list()
    some = index[index["image_id"].isin([*pair, *index["image_id"].head(8)])]
    write_csv(folder / "duplicates.csv", search.find(some, "phantom"))
    pack.pack_images([Path(path) for path in index["path"]], 96, folder / "pixels.npy")
    (folder / "hairless").mkdir()
    remove.remove_hair(index.head(20), sections.hair(), folder / "cache", folder / "hairless")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_bytes_are_those_of_threads_though_a_worker_is_killed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw_dataset(tmp_path / "raw", lesions=21, seed=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LESIONBENCH_JOBLIB", raising=False)
    expected = written(tmp_path / "threads")
    assert expected["duplicates.csv"].count(b"\n") > 1
    assert len([name for name in expected if name.startswith("hairless/")]) > 4

    request.getfixturevalue("workers")
    mark, for_each = tmp_path / "mark", parallel.for_each
    monkeypatch.setattr(remove, "for_each", lambda function, *rest: for_each(dying_once(function, mark), *rest))
    assert written(tmp_path / "dask") == expected
    assert mark.exists()


def test_a_task_that_kills_each_worker_is_given_up(workers: None) -> None:
    with pytest.raises(UserError, match="die: the Dask cluster was lost, or a worker for each try"):
        call(die, range(1))
