import gzip
import hashlib
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import children
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionbench.core import progress
from lesionbench.core.errors import UserError
from lesionbench.sources import download
from lesionbench.sources.download import fetch

BODY = random.Random(1).randbytes(300_000)
HALF = len(BODY) // 2


def md5(data):
    return hashlib.md5(data).hexdigest()


@dataclass
class Answer:
    """How the site answers one request; `cut` bytes into the body it drops the line or, if told so, stalls."""

    body: bytes = BODY
    cut: int | None = None
    stall: bool = False
    status: int = 200
    ranges: bool = True
    length: bool = True
    tag: str | None = "ETag"
    encoding: str | None = None
    shift: int = 0  # of the bytes sent against those asked for
    most: int | None = None  # bytes in one answer to a range
    retry_after: str | None = None


@dataclass
class Site:
    """What the server will answer, the last one for good, and which ranges it was asked for, and by whom."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    asked: list[str | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of who asked
    resume: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        site.asked.append(self.headers["Range"])
        site.names.append(self.headers["User-Agent"])
        answer = site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]
        body, tag = answer.body, f'"{md5(answer.body)}"'
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
        if not answer.ranges or self.headers["If-Range"] not in (None, tag):
            start = 0
        if start >= len(body) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else answer.status)
        end = len(body)
        if start:
            start += answer.shift
            end = min(end, start + (answer.most or end))
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        if answer.length:
            self.send_header("Content-Length", str(end - start))
        if answer.retry_after is not None:
            self.send_header("Retry-After", answer.retry_after)
        if answer.tag:
            self.send_header(answer.tag, tag)
        if answer.encoding:
            self.send_header("Content-Encoding", answer.encoding)
        self.end_headers()
        self.wfile.write(body[start : answer.cut or end])
        if answer.stall:
            site.resume.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF", 0)
    server.site = Site(url=f"http://127.0.0.1:{server.server_port}/file.zip")
    yield server.site
    server.site.resume.set()


def assert_only(target, content=BODY):
    assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_a_plain_file_arrives_alone_in_a_new_folder(site, tmp_path):
    target = tmp_path / "new" / "file.zip"
    fetch(site.url, target, md5(BODY))
    assert_only(target)
    assert site.asked == [None]


def test_an_empty_file_arrives(site, tmp_path):
    site.answers = [Answer(body=b"")]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip", b"")


@pytest.mark.parametrize("sum_", [None, md5(BODY)])
def test_a_file_that_is_there_is_not_fetched(site, tmp_path, sum_):
    target = tmp_path / "file.zip"
    target.write_bytes(BODY)
    fetch(site.url, target, sum_)
    assert site.asked == []


def test_a_file_with_another_md5_is_replaced(site, tmp_path):
    target = tmp_path / "file.zip"
    target.write_bytes(b"old")
    fetch(site.url, target, md5(BODY))
    assert_only(target)


@pytest.mark.parametrize("sum_", [None, md5(BODY)])
def test_a_dropped_line_resumes_at_the_byte_where_it_broke(site, tmp_path, sum_):
    site.answers = [Answer(cut=HALF), Answer(cut=HALF + 1000), Answer()]
    fetch(site.url, tmp_path / "file.zip", sum_)
    assert_only(tmp_path / "file.zip")
    assert site.asked == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]


def test_many_drops_are_no_failure_while_bytes_arrive(site, tmp_path):
    drops = 3 * download.ATTEMPTS
    site.answers = [*(Answer(cut=1000 * i) for i in range(1, drops + 1)), Answer()]
    fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert_only(tmp_path / "file.zip")
    assert len(site.asked) == drops + 1


def test_half_a_file_again_and_again_is_an_error_and_not_a_file(site, tmp_path):
    site.answers = [Answer(cut=HALF, ranges=False)]
    with pytest.raises(UserError, match=r"file\.zip.*gave up.*dataset\.mirror"):
        fetch(site.url, tmp_path / "file.zip")
    assert not (tmp_path / "file.zip").exists()
    assert len(site.asked) == download.ATTEMPTS


def test_a_server_without_ranges_sends_everything_again(site, tmp_path):
    site.answers = [Answer(cut=HALF, ranges=False), Answer(ranges=False)]
    fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert_only(tmp_path / "file.zip")
    assert site.asked == [None, f"bytes={HALF}-"]


def test_an_answer_with_less_than_the_range_is_gone_on_from(site, tmp_path):
    site.answers = [Answer(cut=HALF), Answer(most=1000), Answer()]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip")
    assert site.asked == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]


@pytest.mark.parametrize("shift", [-7, 7])
def test_an_answer_with_another_range_is_not_spliced(site, tmp_path, shift):
    site.answers = [Answer(cut=HALF), Answer(shift=shift), Answer()]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip")
    assert site.asked == [None, f"bytes={HALF}-", None]


def test_a_drop_without_content_length_is_found_by_the_md5(site, tmp_path):
    site.answers = [Answer(cut=HALF, length=False), Answer(length=False)]
    fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert_only(tmp_path / "file.zip")


def test_a_remote_file_that_changed_is_not_spliced(site, tmp_path):
    new = BODY[::-1]
    site.answers = [Answer(cut=HALF), Answer(body=new)]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip", new)


def test_without_tag_and_md5_nothing_is_resumed(site, tmp_path):
    new = BODY[::-1]
    site.answers = [Answer(cut=HALF, tag=None), Answer(body=new, tag=None)]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip", new)
    assert site.asked == [None, None]


@pytest.mark.parametrize("tag", [None, "ETag", "Last-Modified"])
@pytest.mark.parametrize("left", [b"", BODY[:HALF], BODY, BODY + b"more", BODY[:5] + b"wrong"])
def test_whatever_an_earlier_run_left_the_file_is_right(site, tmp_path, left, tag):
    site.answers = [Answer(tag=tag)]
    (tmp_path / "file.zip.part").write_bytes(left)
    fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert_only(tmp_path / "file.zip")


def test_a_killed_run_is_continued(site, tmp_path):
    site.answers = [Answer(cut=HALF, stall=True), Answer()]
    target, part = tmp_path / "file.zip", tmp_path / "file.zip.part"
    code = (
        "from pathlib import Path; from lesionbench.sources.download import fetch; "
        f"fetch({site.url!r}, Path({str(target)!r}))"
    )
    child = children.start(code)
    deadline = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = part.stat().st_size
    assert 0 < left <= HALF
    assert not target.exists()
    fetch(site.url, target)
    assert_only(target)
    assert site.asked == [None, f"bytes={left}-"]


@given(cut=st.integers(0, 2000), size=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_a_resumed_file_is_the_file_wherever_it_was_cut(server, cut, size):
    body, cut = BODY[:size], min(cut, size)
    server.site = Site(f"http://127.0.0.1:{server.server_port}/f", [Answer(body)])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "f")
        target.with_name("f.part").write_bytes(body[:cut])
        fetch(server.site.url, target, md5(body))
        assert_only(target, body)
    assert server.site.asked == [f"bytes={cut}-" if cut else None]


def test_wrong_bytes_once_are_fetched_again_from_the_start(site, tmp_path):
    site.answers = [Answer(body=BODY[::-1]), Answer()]
    fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert_only(tmp_path / "file.zip")
    assert site.asked == [None, None]


def test_wrong_bytes_twice_are_an_error_that_names_both_sums(site, tmp_path):
    site.answers = [Answer(body=b"wrong")]
    with pytest.raises(UserError, match=rf"file\.zip.*{md5(b'wrong')}.*{md5(BODY)}"):
        fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert len(site.asked) == 2
    assert not (tmp_path / "file.zip").exists()
    assert not (tmp_path / "file.zip.part").exists()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final_and_names_url_and_status(site, tmp_path, status):
    site.answers = [Answer(status=status)]
    with pytest.raises(UserError, match=rf"127\.0\.0\.1.*file\.zip.*{status}"):
        fetch(site.url, tmp_path / "file.zip")
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again(site, tmp_path, status):
    site.answers = [Answer(status=status), Answer(status=status), Answer()]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip")


def test_a_server_that_stays_busy_is_an_error(site, tmp_path):
    site.answers = [Answer(status=503)]
    with pytest.raises(UserError, match="503"):
        fetch(site.url, tmp_path / "file.zip")
    assert len(site.asked) == download.ATTEMPTS


def test_a_server_that_falls_silent_is_asked_again(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (5, 0.2))
    site.answers = [Answer(cut=HALF, stall=True), Answer()]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip")
    assert site.asked == [None, f"bytes={HALF}-"]


def test_no_server_is_an_error_that_names_url_and_mirror(site, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x.zip"
        with pytest.raises(UserError, match=r"x\.zip.*dataset\.mirror"):
            fetch(url, tmp_path / "x.zip")


@pytest.mark.parametrize("url", ["no-url", "ftp://127.0.0.1/x", "http://"])
def test_what_is_no_url_is_a_user_error(tmp_path, url):
    with pytest.raises(UserError, match="cannot fetch"):
        fetch(url, tmp_path / "x")


def test_a_compressed_body_arrives_unpacked(site, tmp_path):
    site.answers = [Answer(body=gzip.compress(BODY), encoding="gzip")]
    fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert_only(tmp_path / "file.zip")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_user_error(site, tmp_path):
    (tmp_path / "file.zip.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"file\.zip\.part.*No space left"):
        fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert not (tmp_path / "file.zip").exists()


def test_progress_without_a_terminal_is_plain_lines(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    fetch(site.url, tmp_path / "file.zip")
    err = capsys.readouterr().err
    assert "file.zip: 100% 300k/300k" in err
    assert "\r" not in err


def test_progress_on_a_terminal_is_a_bar(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch(site.url, tmp_path / "file.zip")
    assert "300k/300k" in capsys.readouterr().err


def test_the_project_tells_its_own_name(site, tmp_path):
    """Harvard Dataverse refuses that of requests."""
    fetch(site.url, tmp_path / "file.zip")
    (name,) = set(site.names)
    assert name.startswith("lesionbench/")
    assert "requests" not in name


def test_the_name_tells_where_the_project_is_found(monkeypatch):
    found = Message()
    found["Version"], found["Summary"] = "9.8", "what it is"
    monkeypatch.setattr(download, "metadata", lambda name: found)
    assert download.user_agent() == "lesionbench/9.8 (what it is)"
    found["Project-URL"] = "Homepage, https://example.org/lesionbench"
    assert download.user_agent() == "lesionbench/9.8 (https://example.org/lesionbench)"


def test_a_project_that_is_not_installed_has_a_name_too(monkeypatch):
    def fail(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(download, "metadata", fail)
    assert download.user_agent() == "lesionbench"


WAYS_OUT = r"browser.*dataset\.mirror.*dataset\.source=folder.*Kaggle"


@pytest.mark.parametrize("status", [202, 204, 400, 401, 403, 404, 410, 429, 451, 500, 503])
def test_whatever_the_refusal_it_says_what_else_can_be_done(site, tmp_path, status):
    site.answers = [Answer(status=status, body=b"<html>")]
    with pytest.raises(UserError, match=f"status {status}.*{WAYS_OUT}"):
        fetch(site.url, tmp_path / "file.zip", md5(BODY))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sum_", [None, md5(BODY)])
@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><title>Log in</title>", b"\xef\xbb\xbf\r\n <html>", b"<?xml?><Error>AccessDenied</Error>"]
)
def test_a_page_in_place_of_the_file_is_refused_at_once(site, tmp_path, sum_, page):
    site.answers = [Answer(body=page)]
    with pytest.raises(UserError, match=rf"did not deliver file\.zip, but a web page.*{WAYS_OUT}"):
        fetch(site.url, tmp_path / "file.zip", sum_)
    assert len(site.asked) == 1
    assert not list(tmp_path.glob("*.part"))


def test_other_wrong_bytes_end_with_what_else_can_be_done(site, tmp_path):
    site.answers = [Answer(body=b"{}")]
    with pytest.raises(UserError, match=f"in two tries.*{WAYS_OUT}"):
        fetch(site.url, tmp_path / "file.zip", md5(BODY))


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("7", 7), ("0", 0), ("-7", 0), ("soon", 0), ("", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_server_asks_for_is_made(site, tmp_path, monkeypatch, status, asked, waited):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    site.answers = [Answer(status=status, retry_after=asked), Answer()]
    fetch(site.url, tmp_path / "file.zip")
    assert_only(tmp_path / "file.zip")
    assert slept == [waited]


def test_a_pause_until_a_date_is_made(site, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    site.answers = [Answer(status=429, retry_after=until), Answer()]
    fetch(site.url, tmp_path / "file.zip")
    assert 90 < slept[0] <= 100


def test_a_pause_of_hours_is_not_waited_for(site, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", None)
    site.answers = [Answer(status=429, retry_after="86400")]
    with pytest.raises(UserError, match=f"a pause of 86,400 seconds: run the same command again then.*{WAYS_OUT}"):
        fetch(site.url, tmp_path / "file.zip")
