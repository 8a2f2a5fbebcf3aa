"""Fetch one file over HTTP.

A dropped connection or a killed run costs no more than the bytes still missing.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import requests
import urllib3

from lesionbench.core.errors import UserError
from lesionbench.core.progress import bar

ATTEMPTS = 5  # Attempts in a row that bring no new byte, before giving up.
BACKOFF = 1.0  # Seconds before the second attempt; doubled for each later one.
TIMEOUT = (15, 60)  # Seconds to connect, and between two bytes.
CHUNK = 1 << 20  # Bytes read at once, at most.
LONGEST_WAIT = 300  # Seconds. A server that asks for a longer pause is not waited for.
ELSEWHERE = (
    "; what else can be done: save the files of https://doi.org/10.7910/DVN/DBW86T in a browser, as they are, and set "
    "dataset.mirror to their folder; or set dataset.mirror to the URL or folder of another copy; or set "
    "dataset.source=folder and dataset.path to the unpacked Kaggle copy"
)


class _DroppedError(Exception):
    """The transfer ended early; another attempt may get further, after `pause` seconds at least."""

    pause = 0.0


def user_agent() -> str:
    """Return this project's name and version, and where to find it or what it is.

    Harvard Dataverse refuses the name that requests gives itself.
    """
    try:
        found = metadata("lesionbench")
    except PackageNotFoundError:  # run from its source, not installed
        return "lesionbench"
    urls = [url.partition(",")[2].strip() for url in found.get_all("Project-URL") or []]
    return f"lesionbench/{found['Version']} ({urls[0] if urls else found['Summary']})"


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def fetch(url: str, target: Path, md5: str | None = None) -> None:
    """Fetch `url` to `target`, which appears only when it is complete and has the right MD5.

    Bytes gather in `<target>.part`. If `md5` or a tag of the server identifies the version, a later attempt or run asks
    only for the missing bytes. Nothing is fetched if `target` exists and `md5` is None or right.

    Args:
        url: of the file.
        target: path of the file to write.
        md5: expected MD5, in hex; None skips the check.

    Raises:
        UserError: if the server refuses, cannot be reached, sends a web page or keeps dropping the connection. Also if
            the MD5 is still wrong after a second, fresh try. These say what else can be done. Also if the file cannot
            be written (disk full, no permission).
    """
    if target.exists() and (md5 is None or md5_of(target) == md5):
        return
    part = target.with_name(f"{target.name}.part")
    found = ""
    for _ in ("perhaps resumed", "fresh"):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _download(url, part, checked=md5 is not None)
            _refuse_page(url, part)
            found = md5_of(part)
            if md5 is None or found == md5:
                os.replace(part, target)
                _tag_file(part).unlink(missing_ok=True)
                return
            part.unlink()
        except OSError as error:
            raise UserError(f"cannot write {part} while fetching {url}: {error.strerror or error}") from error
    raise UserError(f"{target.name} from {url} has the MD5 {found} where {md5} is expected, in two tries{ELSEWHERE}")


def _refuse_page(url: str, part: Path) -> None:
    """Refuse a web page, such as one that asks for a login; no file that is fetched here begins with a tag."""
    with part.open("rb") as handle:
        start = handle.read(1000).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        part.unlink()
        name = part.name.removesuffix(".part")
        raise UserError(f"{url} did not deliver {name}, but a web page (one that asks for a login?){ELSEWHERE}")


def _download(url: str, part: Path, checked: bool) -> None:
    failures = most = 0
    while True:
        try:
            return _transfer(url, part, checked)
        except (
            _DroppedError,
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
            urllib3.exceptions.HTTPError,
        ) as error:
            reason = error
        except requests.RequestException as error:
            raise UserError(f"cannot fetch {url}: {error}{ELSEWHERE}") from error
        size = _size(part)
        failures = 1 if size > most else failures + 1
        most = max(most, size)
        if failures >= ATTEMPTS:
            raise UserError(
                f"cannot fetch {url}: gave up after {failures} attempts in a row ({_in_short(reason)}){ELSEWHERE}"
            ) from reason
        delay = max(BACKOFF * 2 ** (failures - 1), getattr(reason, "pause", 0.0))
        print(f"{url}: {_in_short(reason)}; trying again in {delay:g} s", file=sys.stderr, flush=True)
        time.sleep(delay)


def _in_short(error: BaseException) -> str:
    """Return the root cause of an error, such as "Connection refused" under three layers of pools and retries."""
    while error.__context__ is not None:
        error = error.__context__
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _transfer(url: str, part: Path, checked: bool) -> None:
    """Make one request: append what `part` lacks, or write `part` anew where the server cannot resume."""
    have = _size(part)
    with requests.get(url, headers=_headers(part, have, checked), stream=True, timeout=TIMEOUT) as response:
        status = response.status_code
        if status == 416 and have:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise _DroppedError(f"the server has no byte {have}")
        said = f"the server answered with status {status} {response.reason}".strip()
        if status in (408, 429) or status >= 500:
            dropped = _DroppedError(said)
            dropped.pause = _asked_pause(response)
            if dropped.pause > LONGEST_WAIT:
                said += f" and asks for a pause of {dropped.pause:,.0f} seconds: run the same command again then"
                raise UserError(f"cannot fetch {url}: {said}{ELSEWHERE}")
            raise dropped
        if status not in (200, 206):
            raise UserError(f"cannot fetch {url}: {said}{ELSEWHERE}")
        start, total = _extent(response)
        if start not in (0, have):
            part.unlink()
            raise _DroppedError(f"the server sent bytes from {start} on where {have} was asked for")
        if start == 0:
            part.write_bytes(b"")
            _keep_tag(response, part)
        name = part.name.removesuffix(".part")
        with part.open("ab") as sink:
            for chunk in _shown(_chunks(response), name, start, total):
                sink.write(chunk)
    if total is not None and _size(part) != total:
        raise _DroppedError(f"the transfer ended after {_size(part)} of {total} bytes")


def _asked_pause(response: requests.Response) -> float:
    """Return the seconds that the header Retry-After asks for; it holds seconds or a date. Without it they are 0."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _headers(part: Path, have: int, checked: bool) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": user_agent()}
    tag = _tag_file(part).read_text(encoding="latin-1") if _tag_file(part).exists() else ""
    # Without a tag, only the MD5 could show that the rest belongs to another version of the file.
    if have and (tag or checked):
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    return headers


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Return the position of the response's first byte (-1: not told), and the whole file's size (None: not told)."""
    if response.status_code == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        start = span.partition("-")[0]
        return int(start) if start.isdigit() else -1, int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    # The length of a compressed body is not the file's.
    return 0, int(length) if length.isdigit() and "Content-Encoding" not in response.headers else None


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _keep_tag(response: requests.Response, part: Path) -> None:
    """Keep the tag that tells this version of the remote file from others; If-Range takes no weak ETag."""
    etag = response.headers.get("ETag", "")
    tag = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    _tag_file(part).write_text(tag, encoding="latin-1")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _chunks(response: requests.Response) -> Iterator[bytes]:
    # iter_content would lose the last, unfilled chunk of a dropped connection; read1 returns every byte that arrived.
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        yield chunk


def _shown(chunks: Iterable[bytes], name: str, start: int, total: int | None) -> Iterator[bytes]:
    """Yield `chunks` unchanged and show a bar of their bytes."""
    with bar(desc=name, initial=start, total=total, unit="B", unit_scale=True) as shown:
        for chunk in chunks:
            yield chunk
            shown.update(len(chunk))
