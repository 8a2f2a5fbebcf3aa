import io
import stat
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionbench.core.errors import UserError
from lesionbench.sources import archive
from lesionbench.sources.archive import unpack

IMAGES = (".jpg", ".png")


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, data in members:
            target.writestr(name, data)
    return path


def link(name, kind=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_refused(path, match, folder=None):
    folder = folder or path.parent / "out"
    before = sorted(path.parent.iterdir())
    with pytest.raises(UserError, match=match) as caught:
        unpack([path], folder, IMAGES)
    assert path.name in str(caught.value)
    assert sorted(path.parent.iterdir()) == before


def test_inner_folders_go_and_clutter_is_skipped(tmp_path):
    path = write_zip(
        tmp_path / "a.zip",
        [
            ("top/", b""),
            ("top/one.jpg", b"1"),
            ("top/deep/er/Two.JPG", b"2"),
            ("three.png", b"3"),
            ("folder.jpg/", b""),
            ("folder.png\\", b""),
            ("__MACOSX/top/._one.jpg", b"x"),
            ("__MACOSX/top/four.jpg", b"x"),
            ("top/.hidden.jpg", b"x"),
            (".git/five.jpg", b"x"),
            ("top/LICENSE.txt", b"x"),
            ("jpg", b"x"),
        ],
    )
    assert unpack([path], tmp_path / "out", IMAGES) == 3
    assert content(tmp_path / "out") == {"one.jpg": b"1", "Two.jpg": b"2", "three.png": b"3"}


def test_two_archives_share_one_folder(tmp_path):
    paths = [write_zip(tmp_path / f"{i}.zip", [(f"image{i}.jpg", b"%d" % i)]) for i in (1, 2)]
    assert unpack(paths, tmp_path / "new" / "out", IMAGES) == 2
    assert content(tmp_path / "new" / "out") == {"image1.jpg": b"1", "image2.jpg": b"2"}


def test_a_name_with_backslashes_is_a_path(tmp_path):
    unpack([write_zip(tmp_path / "a.zip", [("top\\one.jpg", b"1")])], tmp_path / "out", IMAGES)
    assert content(tmp_path / "out") == {"one.jpg": b"1"}


def test_a_member_without_a_name_is_skipped(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("good.jpg", b"1"), ("?.jpg", b"2")])
    path.write_bytes(path.read_bytes().replace(b"?.jpg", b"\0.jpg"))
    unpack([path], tmp_path / "out", IMAGES)
    assert content(tmp_path / "out") == {"good.jpg": b"1"}


@pytest.mark.parametrize(
    "name",
    [
        "../x.jpg",
        "a/../../x.jpg",
        "..",
        "/x.jpg",
        "//host/x.jpg",
        "..\\x.jpg",
        "\\x.jpg",
        "C:\\x.jpg",
        "C:x.jpg",
        "../x.txt",
    ],
)
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", [("good.jpg", b"1"), (name, b"2")])
    assert_refused(path, "leads out of the folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_is_refused(tmp_path, kind):
    path = write_zip(tmp_path / "a.zip", [("good.jpg", b"1"), (link("evil.jpg", kind), b"/etc/passwd")])
    assert_refused(path, "evil.jpg' is a link")


def test_an_encrypted_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("good.jpg", b"1"), ("secret.jpg", b"2")])
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    flags = struct.unpack_from("<H", data, central + 8)[0]
    struct.pack_into("<H", data, central + 8, flags | 1)
    path.write_bytes(data)
    assert_refused(path, "secret.jpg' is encrypted")


@pytest.mark.parametrize(
    "second", ["b/\u00f6ne.jpg", "\u00f6ne.png", "\u00d6NE.jpg", "\u00f6ne.JPG", "o\u0308ne.jpg", "O\u0308NE.png"]
)
def test_two_members_of_one_name_are_one_or_refused(tmp_path, second):
    first = "a/\u00f6ne.jpg"
    path = write_zip(tmp_path / "a.zip", [(first, b"1"), (second, b"2")])
    assert_refused(path, f"has the same name as '{first}' of a.zip")
    path = write_zip(tmp_path / "b.zip", [(first, b"1"), (second, b"1")])
    assert unpack([path], tmp_path / "out", IMAGES) == 1
    assert content(tmp_path / "out") == {"\u00f6ne.jpg": b"1"}


def test_one_image_in_two_archives_is_one(tmp_path):
    paths = [write_zip(tmp_path / f"{i}.zip", [("one.jpg", b"1")]) for i in (1, 2)]
    assert unpack(paths, tmp_path / "out", IMAGES) == 1


def test_bytes_of_one_checksum_are_told_apart(tmp_path, monkeypatch):
    """CRC-32 of one name are equal by chance or on purpose."""
    path = write_zip(tmp_path / "a.zip", [("a/one.jpg", b"1"), ("b/one.jpg", b"2")])
    monkeypatch.setattr(zipfile.ZipInfo, "CRC", property(lambda info: 0, lambda info, value: None), raising=False)
    monkeypatch.setattr(zipfile.ZipExtFile, "_update_crc", lambda *_: None)
    assert_refused(path, "has the same name")


def test_names_become_nfc(tmp_path):
    unpack([write_zip(tmp_path / "a.zip", [("o\u0308ne.jpg", b"1")])], tmp_path / "out", IMAGES)
    assert content(tmp_path / "out") == {"\u00f6ne.jpg": b"1"}


def test_images_that_are_left_out_are_counted(tmp_path, capsys):
    members = ["one.jpg", "two.bmp", ".three.jpg", ".git/four.jpg", "__MACOSX/._one.jpg", ".DS_Store", "LICENSE.txt"]
    unpack([write_zip(tmp_path / "a.zip", [(name, b"1") for name in members])], tmp_path / "out", IMAGES)
    assert capsys.readouterr().err == f"left out of {tmp_path}/a.zip: 3 hidden or of another format, such as two.bmp\n"


def test_one_member_listed_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path / "a.zip", [("one.jpg", b"1"), ("one.jpg", b"2")])
    assert_refused(path, "has the same name")


def test_one_name_in_two_archives_is_refused(tmp_path):
    paths = [write_zip(tmp_path / f"{i}.zip", [("one.jpg", b"%d" % i)]) for i in (1, 2)]
    with pytest.raises(UserError, match=r"2\.zip.*one\.jpg.* of 1\.zip"):
        unpack(paths, tmp_path / "out", IMAGES)
    assert sorted(tmp_path.iterdir()) == paths


def test_a_member_too_large_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("big.jpg", bytes(archive.LARGEST_MEMBER + 1))])
    assert path.stat().st_size < 1 << 20
    assert_refused(path, "big.jpg' unpacks to 67,108,865 bytes")


def test_a_bomb_of_many_members_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_TOTAL", 1 << 20)
    path = write_zip(tmp_path / "a.zip", [(f"{i}.jpg", bytes(1 << 18)) for i in range(8)])
    assert archive.LARGEST_RATIO * path.stat().st_size < 8 << 18
    assert_refused(path, "unpacks to 2,097,152 bytes")


def test_a_large_archive_may_hold_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_TOTAL", 1000)
    path = write_zip(tmp_path / "a.zip", [("1.jpg", bytes(range(256)) * 8)])
    assert unpack([path], tmp_path / "out", IMAGES) == 1


def test_a_member_that_lies_about_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("lie.jpg", bytes(100_000))])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 100_000), struct.pack("<I", 10)))
    assert_refused(path, "damaged.*lie.jpg")


def test_a_flipped_bit_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("good.jpg", b"1"), ("bad.jpg", b"content")], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"contest"))
    assert_refused(path, "damaged.*bad.jpg.*CRC")


def test_unknown_compression_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("odd.jpg", b"1")])
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x03\x04") + 8, 97)
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, 97)
    path.write_bytes(data)
    assert_refused(path, "damaged or not a zip")


@pytest.mark.parametrize("data", [b"", b"<html>log in</html>", b"PK\x05\x06"])
def test_what_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    assert_refused(tmp_path / "a.zip", "not a zip")


def test_a_truncated_archive_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("one.jpg", b"1" * 1000)])
    path.write_bytes(path.read_bytes()[:-30])
    assert_refused(path, "not a zip")


def test_a_missing_archive_is_refused(tmp_path):
    assert_refused(tmp_path / "a.zip", "No such file")


def test_an_archive_with_nothing_wanted_is_refused(tmp_path):
    assert_refused(write_zip(tmp_path / "a.zip", [("read.me", b"1")]), r"no member ends in \.jpg, \.png")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_refused_or_harmless(data):
    buffer = io.BytesIO()
    write_zip(buffer, [("a/one.jpg", b"1" * 50), ("two.png", bytes(range(99)))])
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.zip")
        path.write_bytes(damaged)
        try:
            unpack([path], Path(folder, "out"), IMAGES)
        except UserError:
            assert list(Path(folder).iterdir()) == [path]
        else:
            assert set(content(Path(folder, "out")).values()) <= {b"1" * 50, bytes(range(99))}
            assert len(list(Path(folder).iterdir())) == 2
