import csv
import functools
import hashlib
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lesionbench import download, sources
from lesionbench.errors import UserError
from lesionbench.sources import RemoteFile, copy_folder, fetch_ham10000

METADATA = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\nHAM_1,ISIC_1,nv,histo,40,male,back,rosendahl\n"
ONE_HOT = "image,MEL,NV\nISIC_8,1.0,0.0\n"
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_sums(folder):
    files = sorted(path for path in folder.iterdir() if path.name != "MD5SUMS")
    lines = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "MD5SUMS").write_text("".join(lines))


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "HAM10000_metadata.csv").write_text(METADATA)
    write_zip(folder / "HAM10000_images_part_1.zip", {"ISIC_1.jpg": "one"})
    write_zip(folder / "HAM10000_images_part_2.zip", {"inner/ISIC_2.jpg": "two"})
    masks = {f"{MASK_FOLDER}/ISIC_{i}_segmentation.png": f"mask {i}" for i in (1, 2)}
    write_zip(folder / f"{MASK_FOLDER}.zip", masks | {f"__MACOSX/{MASK_FOLDER}/._.DS_Store": "x"})
    name = "ISIC2018_Task3_Validation_Input"
    write_zip(
        folder / f"{name}.zip",
        {f"{name}/ISIC_8.jpg": "eight", f"__MACOSX/{name}/._ISIC_8.jpg": "x", "LICENSE.txt": "x"},
    )
    name = "ISIC2018_Task3_Validation_GroundTruth"
    write_zip(folder / f"{name}.zip", {f"{name}/{name}.csv": ONE_HOT})
    write_sums(folder)
    return folder


@pytest.fixture
def served(mirror, monkeypatch):
    """The mirror's URL and the paths that were asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path.removeprefix("/"))
            super().do_GET()

        def log_message(self, *args):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(mirror)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


HAM = {
    "metadata.csv": METADATA,
    "duplicate_pairs.csv": sources.PUBLISHED_PAIRS.read_text(),
    "images/ISIC_1.jpg": "one",
    "images/ISIC_2.jpg": "two",
    "masks/ISIC_1_segmentation.png": "mask 1",
    "masks/ISIC_2_segmentation.png": "mask 2",
}
VALIDATION = {
    "external/isic2018_validation/images/ISIC_8.jpg": "eight",
    "external/isic2018_validation/labels.csv": ONE_HOT,
}


def assert_refused(tmp_path, match, mirror, external=()):
    with pytest.raises(UserError, match=match):
        fetch_ham10000(tmp_path / "raw", str(mirror), external, tmp_path / "downloads")
    assert not [path for path in tmp_path.iterdir() if "raw" in path.name]


def test_the_published_pairs_are_18_pairs_of_36_images():
    with sources.PUBLISHED_PAIRS.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["image_id_a", "image_id_b"]
    assert len({frozenset(row.values()) for row in rows}) == 18
    assert all(row["image_id_a"] != row["image_id_b"] for row in rows)


@pytest.mark.parametrize(("external", "more"), [([], {}), (["isic2018_validation"], VALIDATION)])
def test_a_mirror_by_url_gives_the_raw_folder(served, tmp_path, external, more):
    fetch_ham10000(tmp_path / "data" / "raw", served[0], external, tmp_path / "downloads")
    assert tree(tmp_path / "data" / "raw") == HAM | more
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


def test_a_mirror_in_a_folder_gives_the_same_and_is_not_copied(mirror, tmp_path):
    before = sorted(path.name for path in mirror.iterdir())
    fetch_ham10000(tmp_path / "raw", str(mirror), ["isic2018_validation"], tmp_path / "downloads")
    assert tree(tmp_path / "raw") == HAM | VALIDATION
    assert not (tmp_path / "downloads").exists()
    assert sorted(path.name for path in mirror.iterdir()) == before


def test_a_second_run_fetches_the_sums_alone(served, tmp_path):
    url, asked = served
    fetch_ham10000(tmp_path / "raw", url, [], tmp_path / "downloads")
    assert sorted(asked) == [
        "HAM10000_images_part_1.zip",
        "HAM10000_images_part_2.zip",
        "HAM10000_metadata.csv",
        f"{MASK_FOLDER}.zip",
        "MD5SUMS",
    ]
    asked.clear()
    fetch_ham10000(tmp_path / "again", f"{url}/", [], tmp_path / "downloads")
    assert asked == ["MD5SUMS"]
    assert tree(tmp_path / "again") == HAM


def test_a_mirror_that_changed_is_fetched_anew(served, mirror, tmp_path):
    fetch_ham10000(tmp_path / "raw", served[0], [], tmp_path / "downloads")
    write_zip(mirror / "HAM10000_images_part_1.zip", {"ISIC_1.jpg": "new"})
    write_sums(mirror)
    fetch_ham10000(tmp_path / "again", served[0], [], tmp_path / "downloads")
    assert tree(tmp_path / "again") == HAM | {"images/ISIC_1.jpg": "new"}


@pytest.mark.parametrize("style", ["{} *{}", "{}  ./{}"])
def test_sums_may_be_written_in_each_style_of_md5sum(mirror, tmp_path, style):
    lines = (mirror / "MD5SUMS").read_text().splitlines()
    text = "\r\n".join(style.format(line[:32].upper(), line[34:]) for line in lines)
    (mirror / "MD5SUMS").write_text(text)
    fetch_ham10000(tmp_path / "raw", str(mirror), [], tmp_path / "downloads")
    assert tree(tmp_path / "raw") == HAM


def test_an_unknown_cohort_is_refused_before_anything_is_fetched(served, tmp_path):
    assert_refused(tmp_path, "'isic2019'.*isic2018_validation, isic2018_test", served[0], ["isic2019"])
    assert served[1] == []


def test_a_mirror_without_sums_is_refused(served, mirror, tmp_path):
    (mirror / "MD5SUMS").unlink()
    assert_refused(tmp_path, "MD5SUMS.*404", served[0])
    assert_refused(tmp_path, "MD5SUMS is missing", mirror)
    assert_refused(tmp_path, "nowhere/MD5SUMS is missing", tmp_path / "nowhere")


def test_a_file_that_the_sums_do_not_list_is_refused(served, mirror, tmp_path):
    for where in (served[0], mirror):
        assert_refused(tmp_path, r"does not list ISIC2018_Task3_Test_Images\.zip", where, ["isic2018_test"])


def test_a_listed_file_that_is_missing_is_refused(served, mirror, tmp_path):
    (mirror / "HAM10000_images_part_2.zip").unlink()
    assert_refused(tmp_path, r"HAM10000_images_part_2\.zip.*404", served[0])
    assert_refused(tmp_path, r"HAM10000_images_part_2\.zip is missing", mirror)


def test_a_file_with_the_wrong_md5_is_refused(served, mirror, tmp_path):
    write_zip(mirror / "HAM10000_images_part_2.zip", {"ISIC_2.jpg": "forged"})
    for where in (served[0], mirror):
        assert_refused(tmp_path, r"HAM10000_images_part_2\.zip.* has the MD5", where)


def test_sums_that_are_none_are_refused(mirror, tmp_path):
    (mirror / "MD5SUMS").write_text("<html>\n")
    assert_refused(tmp_path, "MD5SUMS: '<html>' is not an MD5", mirror)


def test_an_image_in_both_parts_is_refused(mirror, tmp_path):
    write_zip(mirror / "HAM10000_images_part_2.zip", {"ISIC_1.jpg": "other"})
    write_sums(mirror)
    assert_refused(tmp_path, r"part_2\.zip: 'ISIC_1.jpg' has the same name", mirror)


def test_two_tables_of_labels_are_refused(mirror, tmp_path):
    write_zip(mirror / "ISIC2018_Task3_Validation_GroundTruth.zip", {"a.csv": "1", "b.csv": "2"})
    write_sums(mirror)
    assert_refused(tmp_path, r"one table of labels is expected, found a\.csv, b\.csv", mirror, ["isic2018_validation"])


@pytest.fixture
def upstream(served, mirror, monkeypatch):
    """The served mirror in upstream's place; its files have no MD5 but for the first one's."""
    url, asked = served
    md5 = hashlib.md5((mirror / sources.IMAGES[0].name).read_bytes()).hexdigest()
    local = {file.name: RemoteFile(file.name, f"{url}/{file.name}") for file in [*sources.IMAGES, sources.MASKS]}
    first, second, masks = local.values()
    monkeypatch.setattr(sources, "IMAGES", (first._replace(md5=md5), second))
    monkeypatch.setattr(sources, "MASKS", masks)
    monkeypatch.setattr(sources, "METADATA", RemoteFile("HAM10000_metadata.csv", f"{url}/HAM10000_metadata.csv"))
    return asked


def test_upstream_is_fetched_once(upstream, tmp_path):
    fetch_ham10000(tmp_path / "raw", None, [], tmp_path / "downloads")
    assert tree(tmp_path / "raw") == HAM
    upstream.clear()
    fetch_ham10000(tmp_path / "again", None, [], tmp_path / "downloads")
    assert upstream == []
    assert tree(tmp_path / "again") == HAM


def test_a_mirrors_file_is_not_taken_for_upstreams(upstream, served, mirror, tmp_path):
    fetch_ham10000(tmp_path / "raw", served[0], [], tmp_path / "downloads")
    (mirror / "HAM10000_metadata.csv").write_text(METADATA.replace("40", "45"))
    fetch_ham10000(tmp_path / "again", None, [], tmp_path / "downloads")
    assert tree(tmp_path / "again") == HAM | {"metadata.csv": METADATA.replace("40", "45")}


@pytest.mark.parametrize("name", ["HAM10000_metadata.csv", "HAM10000_images_part_2.zip"])
def test_a_login_page_in_place_of_a_file_is_refused_and_not_kept(upstream, mirror, tmp_path, name):
    good = (mirror / name).read_bytes()
    (mirror / name).write_text("<!DOCTYPE html>\n<title>Log in</title>\n")
    with pytest.raises(UserError, match=f"did not bring {name}"):
        fetch_ham10000(tmp_path / "raw", None, [], tmp_path / "downloads")
    (mirror / name).write_bytes(good)
    fetch_ham10000(tmp_path / "raw", None, [], tmp_path / "downloads")
    assert tree(tmp_path / "raw") == HAM


@pytest.mark.parametrize(
    "header",
    ["lesion_id,image_id,dx", "lesion_id\timage_id\tdx", '"lesion_id"\t"image_id"', "image,MEL", "\ufeffimage_id,dx"],
)
def test_a_table_is_known_by_its_column_of_images(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\nx,y\n", encoding="utf-8")
    assert sources._has_right_form(tmp_path / "t.csv")


def test_the_upstream_urls_and_names_are_all_different():
    files = [*sources.IMAGES, sources.MASKS, sources.METADATA, *(f for c in sources.EXTERNAL.values() for f in c)]
    assert len({file.url for file in files}) == len({file.name for file in files}) == len(files) == 8


def write(top, files):
    for name, text in files.items():
        path = Path(top, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


PAIRS = {"duplicate_pairs.csv": sources.PUBLISHED_PAIRS.read_text()}
COHORTS = {
    "external/a/labels.csv": "image_id,dx\n",
    "external/a/deep/er/E1.PNG": "e1",
    "external/b/labels.csv": "image,MEL\n",
    "external/b/E1.jpg": "e1 of b",
}


def test_the_kaggle_copy_works_as_it_lies(tmp_path):
    kaggle = {
        "HAM10000_metadata.csv": METADATA,
        "HAM10000_images_part_1/ISIC_1.jpg": "one",
        "HAM10000_images_part_2/ISIC_2.jpg": "two",
        "hmnist_28_28_RGB.csv": "x",
        "hmnist_8_8_L.csv": "x",
        f"{MASK_FOLDER}/{MASK_FOLDER}/ISIC_1_segmentation.png": "mask 1",
        f"{MASK_FOLDER}/{MASK_FOLDER}/ISIC_2_segmentation.png": "mask 2",
    }
    copy_folder(tmp_path / "data" / "raw", write(tmp_path / "kaggle", kaggle), [])
    assert tree(tmp_path / "data" / "raw") == HAM
    assert tree(tmp_path / "kaggle") == kaggle
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


def test_names_are_made_alike_and_hidden_files_left(tmp_path):
    mine = {
        "metadata.csv": "m",
        "A.JPG": "a",
        "x/y/b.jpeg": "b",
        "x/.hidden/c.jpg": "x",
        ".d.jpg": "x",
        "__MACOSX/e.jpg": "x",
        "x/masks/f.png": "f",
        "notes.txt": "x",
        "masks/A.png": "mask a",
        "masks/deep/b_segmentation.PNG": "mask b",
        "masks/readme.txt": "x",
    }
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", mine), [])
    assert tree(tmp_path / "raw") == PAIRS | {
        "metadata.csv": "m",
        "images/A.jpg": "a",
        "images/b.jpeg": "b",
        "images/f.png": "f",
        "masks/A_segmentation.png": "mask a",
        "masks/b_segmentation.png": "mask b",
    }


def test_the_copies_are_no_links_and_masks_is_always_there(tmp_path):
    mine = write(tmp_path / "mine", {"metadata.csv": "m", "elsewhere/a.jpg": "a"})
    (mine / "images").mkdir()
    (mine / "elsewhere" / "a.jpg").rename(tmp_path / "a.jpg")
    (mine / "images" / "a.jpg").symlink_to(tmp_path / "a.jpg")
    copy_folder(tmp_path / "raw", mine, [])
    copied = tmp_path / "raw" / "images" / "a.jpg"
    assert copied.read_text() == "a"
    assert not copied.is_symlink()
    assert copied.stat().st_nlink == 1
    assert list((tmp_path / "raw" / "masks").iterdir()) == []


def test_a_linked_folder_is_followed(tmp_path):
    mine = write(tmp_path / "mine", {"metadata.csv": "m"})
    (mine / "part_1").symlink_to(write(tmp_path / "elsewhere", {"deep/a.jpg": "a"}))
    copy_folder(tmp_path / "raw", mine, [])
    assert tree(tmp_path / "raw") == PAIRS | {"metadata.csv": "m", "images/a.jpg": "a"}


@pytest.mark.parametrize(("external", "taken"), [([], "ab"), (["a", "b"], "ab"), (["b"], "b")])
def test_external_cohorts_are_all_taken_or_those_named(tmp_path, external, taken):
    copy_folder(tmp_path / "raw", write(tmp_path / "mine", {"metadata.csv": "m", "i.jpg": "i"} | COHORTS), external)
    found = {name: text for name, text in tree(tmp_path / "raw").items() if name.startswith("external")}
    expected = {
        "external/a/labels.csv": "image_id,dx\n",
        "external/a/images/E1.png": "e1",
        "external/b/labels.csv": "image,MEL\n",
        "external/b/images/E1.jpg": "e1 of b",
    }
    assert found == {name: text for name, text in expected.items() if name.split("/")[1] in taken}


GOOD = {"metadata.csv": "m", "i.jpg": "i"}


@pytest.mark.parametrize(
    ("files", "external", "match"),
    [
        ({"i.jpg": "i"}, [], r"metadata\.csv and HAM10000_metadata\.csv.*neither is there"),
        (GOOD | {"HAM10000_metadata.csv": "m"}, [], "both are there"),
        (
            {"metadata.csv": "m", "masks/i.png": "x", "external/a/labels.csv": "l", "external/a/e.jpg": "e"},
            [],
            "no image",
        ),
        (GOOD | {"x/a.jpg": "1", "y/a.png": "2"}, [], r"x/a\.jpg and .*y/a\.png"),
        (GOOD | {"x/a.jpg": "1", "y/A.jpg": "2"}, [], r"x/a\.jpg and .*y/A\.jpg"),
        (GOOD | {"masks/i.png": "1", "masks/i_segmentation.png": "2"}, [], r"masks/i\.png and .*i_segmentation\.png"),
        (GOOD | {"masks/i.png": "1", f"{MASK_FOLDER}/i.png": "2"}, [], "two masks of one image"),
        (GOOD | {"masks/i.jpg": "1"}, [], r"masks must be PNG(.|\n)*i\.jpg"),
        (GOOD | COHORTS, ["c"], "unknown cohort 'c'.* has a, b"),
        (GOOD, ["c"], "unknown cohort 'c'.* has no cohort"),
        (GOOD | {"external/a/e.jpg": "e"}, [], r"external/a: labels\.csv is missing"),
        (GOOD | {"external/a/labels.csv": "l"}, [], "external/a: no image"),
        (GOOD | COHORTS | {"external/a/e1.jpg": "e"}, [], "two images of one name"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_and_nothing_is_written(tmp_path, files, external, match):
    mine = write(tmp_path / "mine", files)
    with pytest.raises(UserError, match=match):
        copy_folder(tmp_path / "raw", mine, external)
    assert list(tmp_path.iterdir()) == [mine]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="mine is not a folder"):
        copy_folder(tmp_path / "raw", tmp_path / "mine", [])


def test_a_file_that_cannot_be_read_is_told_and_nothing_is_written(tmp_path):
    mine = write(tmp_path / "mine", GOOD)
    (mine / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        copy_folder(tmp_path / "raw", mine, [])
    assert list(tmp_path.iterdir()) == [mine]
