"""HAM10000 from a mirror or upstream: the right files in one raw folder, or a sentence and nothing."""

import functools
import hashlib
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lesionbench.core.errors import UserError
from lesionbench.sources import download, ham10000
from lesionbench.sources.folder import PUBLISHED_PAIRS
from lesionbench.sources.ham10000 import RemoteFile, fetch_ham10000

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
    "duplicate_pairs.csv": PUBLISHED_PAIRS.read_text(),
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


def test_an_unknown_cohort_is_refused_before_a_download(served, tmp_path):
    """An unknown cohort is refused before anything is fetched."""
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
    md5 = hashlib.md5((mirror / ham10000.IMAGES[0].name).read_bytes()).hexdigest()
    local = {file.name: RemoteFile(file.name, f"{url}/{file.name}") for file in [*ham10000.IMAGES, ham10000.MASKS]}
    first, second, masks = local.values()
    monkeypatch.setattr(ham10000, "IMAGES", (first._replace(md5=md5), second))
    monkeypatch.setattr(ham10000, "MASKS", masks)
    monkeypatch.setattr(ham10000, "METADATA", RemoteFile("HAM10000_metadata.csv", f"{url}/HAM10000_metadata.csv"))
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
def test_a_login_page_is_refused_and_not_kept(upstream, mirror, tmp_path, name):
    """A login page in place of a file is refused and not kept."""
    good = (mirror / name).read_bytes()
    (mirror / name).write_text("<!DOCTYPE html>\n<title>Log in</title>\n")
    with pytest.raises(UserError, match=f"did not deliver {name}"):
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
    assert ham10000._has_right_form(tmp_path / "t.csv")


def test_the_upstream_urls_and_names_are_all_different():
    files = [*ham10000.IMAGES, ham10000.MASKS, ham10000.METADATA, *(f for c in ham10000.EXTERNAL.values() for f in c)]
    assert len({file.url for file in files}) == len({file.name for file in files}) == len(files) == 8


TAB = METADATA.replace("HAM_1", '"HAM_1"').replace("ISIC_1", '"ISIC_1"').replace(",", "\t")
TEST = {
    "external/isic2018_test/images/ISIC_9.jpg": "nine",
    "external/isic2018_test/labels.csv": "image_id\tdx\nISIC_9\tnv\n",
    "external/isic2018_test/lesion_groupings.csv": "image,lesion_id\n",
}


@pytest.fixture
def saved(mirror, monkeypatch):
    """Upstream's files as a browser saves them: no MD5SUMS, and tables that Dataverse rewrote."""

    def known(file):
        return file._replace(md5=hashlib.md5((mirror / file.name).read_bytes()).hexdigest())

    monkeypatch.setattr(ham10000, "IMAGES", tuple(known(file) for file in ham10000.IMAGES))
    monkeypatch.setattr(ham10000, "MASKS", known(ham10000.MASKS))
    for name in ("MD5SUMS", "HAM10000_metadata.csv"):
        (mirror / name).unlink()
    (mirror / "HAM10000_metadata.tab").write_text(TAB)
    write_zip(mirror / "ISIC2018_Task3_Test_Images.zip", {"ISIC_9.jpg": "nine"})
    (mirror / "ISIC2018_Task3_Test_GroundTruth.tab").write_text(TEST["external/isic2018_test/labels.csv"])
    (mirror / "ISIC2018_Task3_Test_LesionGroupings.csv").write_text("image,lesion_id\n")
    return mirror


def test_files_that_a_browser_saved_are_a_mirror(saved, tmp_path, capsys):
    fetch_ham10000(tmp_path / "raw", str(saved), ["isic2018_validation", "isic2018_test"], tmp_path / "downloads")
    assert tree(tmp_path / "raw") == HAM | VALIDATION | TEST | {"metadata.csv": TAB}
    assert not (tmp_path / "downloads").exists()
    assert f"{saved} has no MD5SUMS: HAM10000_images_part_1.zip, " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["HAM10000_metadata", "HAM10000_metadata.csv", "ham10000_metadata.TAB"])
def test_the_metadata_may_be_saved_under_each_of_its_names(saved, tmp_path, name):
    (saved / "HAM10000_metadata.tab").rename(saved / name)
    fetch_ham10000(tmp_path / "raw", str(saved), [], tmp_path / "downloads")
    assert tree(tmp_path / "raw") == HAM | {"metadata.csv": TAB}


@pytest.mark.parametrize("name", ["dataverse_files.zip", "doi-10.7910-dvn-dbw86t_4.0.zip"])
@pytest.mark.parametrize("inner", ["", "top/"])
@pytest.mark.parametrize("itself", [False, True])
def test_one_zip_of_all_files_is_a_mirror(saved, tmp_path, name, inner, itself):
    outer = tmp_path / "saved" / name
    outer.parent.mkdir()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MANIFEST.TXT", "x")
        for path in sorted(saved.iterdir()):
            archive.write(path, inner + path.name)
    (outer.parent / "other.zip").write_text("no zip")
    for raw in ("raw", "again"):
        where = outer if itself else outer.parent
        fetch_ham10000(tmp_path / raw, str(where), ["isic2018_validation"], tmp_path / "downloads")
        assert tree(tmp_path / raw) == HAM | VALIDATION | {"metadata.csv": TAB}


def test_a_folder_may_begin_at_home_or_be_a_url(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for raw, where in (("raw", "~/mirror"), ("again", saved.as_uri())):
        fetch_ham10000(tmp_path / raw, where, [], tmp_path / "downloads")
        assert tree(tmp_path / raw) == HAM | {"metadata.csv": TAB}


def test_upstream_s_md5_is_checked_without_sums(saved, tmp_path):
    write_zip(saved / "HAM10000_images_part_2.zip", {"ISIC_2.jpg": "forged"})
    assert_refused(tmp_path, r"part_2\.zip has the MD5 .* where upstream has .*MD5SUMS is missing.*save it anew", saved)


def test_a_saved_file_of_the_wrong_form_is_refused(saved, tmp_path):
    (saved / "HAM10000_metadata.tab").write_text("<html>")
    assert_refused(tmp_path, r"HAM10000_metadata\.tab is no table of images", saved)
    (saved / "HAM10000_metadata.tab").write_text(TAB)
    (saved / "ISIC2018_Task3_Test_Images.zip").write_text("<html>")
    assert_refused(tmp_path, r"Test_Images\.zip is no zip archive", saved, ["isic2018_test"])


def test_a_saved_file_that_is_missing_is_told_with_its_page(saved, tmp_path):
    part = (saved / "HAM10000_images_part_2.zip").rename(tmp_path / "part")
    (saved / "unfinished.zip").write_bytes(b"PK cut")
    pattern = r"MD5SUMS is missing, and so is .*part_2\.zip.*doi\.org/10\.7910/DVN/DBW86T; unfinished\.zip is damaged"
    assert_refused(tmp_path, pattern, saved)
    (saved / "unfinished.zip").unlink()
    (saved / "HAM10000_images_part_2").mkdir()
    assert_refused(tmp_path, "part_2 is unpacked: set dataset.source=folder and dataset.path=", saved)
    part.rename(saved / "HAM10000_images_part_2.zip")
    (saved / "ISIC2018_Task3_Validation_Input.zip").unlink()
    assert_refused(tmp_path, "isic-challenge-data.*Validation_Input.zip", saved, ["isic2018_validation"])


def test_sums_may_list_the_tables_as_they_were_saved(saved, served, tmp_path):
    write_sums(saved)
    for raw, where in (("raw", str(saved)), ("again", served[0])):
        fetch_ham10000(tmp_path / raw, where, [], tmp_path / "downloads")
        assert tree(tmp_path / raw) == HAM | {"metadata.csv": TAB}


@pytest.mark.parametrize("mirror", ["s3://bucket/x", "ftp://host/x"])
def test_a_mirror_of_another_kind_is_refused(tmp_path, mirror):
    assert_refused(tmp_path, f"{mirror} is not on this machine.*http", mirror)


def own_cohort(top, **files):
    """The user's folder with one cohort, mine, of an image in a folder, a mask and labels."""
    usual = {"labels.csv": "image_id,dx\nM1,mel\n", "a/M1.JPG": "m1", "masks/M1.png": "mask"}
    for name, text in {**usual, **files}.items():
        if text is not None:
            (top / "external/mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (top / "external/mine" / name).write_text(text)
    return top


def test_a_cohort_of_one_s_own_comes_beside_the_challenge_s(mirror, tmp_path):
    own, wanted = own_cohort(tmp_path / "own"), ["isic2018_validation", "mine"]
    fetch_ham10000(tmp_path / "raw", str(mirror), wanted, tmp_path / "downloads", own)
    assert tree(tmp_path / "raw") == HAM | VALIDATION | {
        "external/mine/labels.csv": "image_id,dx\nM1,mel\n",
        "external/mine/images/M1.jpg": "m1",
        "external/mine/masks/M1_segmentation.png": "mask",
    }


def test_a_cohort_of_one_s_own_is_taken_by_its_name_alone(mirror, tmp_path):
    """With external: [], HAM10000 comes alone, whatever lies in the user's folder; it may be missing too."""
    fetch_ham10000(tmp_path / "raw", str(mirror), [], tmp_path / "downloads", own_cohort(tmp_path / "own"))
    assert tree(tmp_path / "raw") == HAM
    fetch_ham10000(tmp_path / "again", str(mirror), [], tmp_path / "downloads", tmp_path / "missing")


@pytest.mark.parametrize(
    ("files", "named", "match"),
    [
        (
            {},
            "other",
            "unknown cohort 'other'; .*own/external has mine; of the ISIC 2018 challenge there are isic2018_v",
        ),
        ({"labels.csv": None}, "mine", r"external/mine: labels\.csv is missing"),
        ({"a/M1.JPG": None}, "mine", "external/mine: no image found"),
        ({"b/m1.jpg": "other"}, "mine", "two images of one name"),
    ],
)
def test_what_is_wrong_with_a_cohort_of_one_s_own_is_told(mirror, tmp_path, files, named, match):
    own = own_cohort(tmp_path / "own", **files)
    with pytest.raises(UserError, match=match):
        fetch_ham10000(tmp_path / "raw", str(mirror), [named], tmp_path / "downloads", own)
    assert not (tmp_path / "raw").exists()
