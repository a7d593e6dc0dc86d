"""The record of a run: written first and append-only, read by everything else.

    runs/<run_id>/run.json                     what was asked, on what machine, how it ended (replaced atomically)
    runs/<run_id>/plans/<sha>.json             a step's calls with their work
    runs/<run_id>/series/<point_id>.jsonl.gz   power samples (profiler.record.rows)
    runs/<run_id>/ops/<point_id>.jsonl.gz      operations measured alone
    runs/<run_id>/points.jsonl                 one line per point; a line that is there in full is committed

A kill at any moment loses at most the point being measured. Importable without torch.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from profiler.record.files import file_bytes
from profiler.record.redact import redacted_argv
from profiler.record.rows import KINDS, compressed, digest, text_of
from profiler.record.schema import SCHEMA_VERSION
from triton_kernels.errors import TokenmillError

Parse = Callable[[bytes], Any]

RUN_ID = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
PLAN_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
MOST_HEADER_BYTES, MOST_PLAN_BYTES, MOST_POINTS_BYTES = 4 << 20, 64 << 20, 256 << 20

_FIXES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file size limit is reached: raise it (ulimit -f)",
    errno.EACCES: "no permission to write there: choose another folder with --out",
    errno.EPERM: "no permission to write there: choose another folder with --out",
    errno.EROFS: "the file system is read-only: choose another folder with --out",
    errno.ENOTDIR: "a part of the path is a file: choose another folder with --out",
    errno.EEXIST: "a file is in the way: choose another folder with --out",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A recorded run as it lies on disk. `points` in the order they were committed; `plans` by their id. Derived figures are not in here."""

    path: Path
    header: dict[str, Any]
    points: list[dict[str, Any]]
    plans: dict[str, dict[str, Any]]

    @property
    def run_id(self) -> str:
        return str(self.header["run_id"])


class RunWriter:
    """Writes one run. Every method raises TokenmillError with the fix when the disk does not take it; what was committed before stays."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = header
        self.committed = 0

    @classmethod
    def create(cls, root: Path, *, subject: str, argv: Sequence[str], version: str | None) -> RunWriter:
        """A new run in a new folder of `root`, its header on disk with status "running". `subject` (a model's name) becomes part of the id."""
        now = datetime.now(UTC)
        slug = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")[:36].strip("-") or "run"
        run_id = f"{now:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"
        kept = redacted_argv(argv)
        header = {
            "schema_version": SCHEMA_VERSION,
            "run_id": run_id,
            "created": now.isoformat(timespec="seconds"),
            "command": " ".join(["tokenmill", *kept]),
            "argv": kept,
            "tokenmill": version,
            "environment": None,
            "price": None,
            "not_measured": None,  # one line for each point that was skipped or failed, and why; None: the run did not come to its end
            "status": "running",
        }
        path = root / run_id
        with _explained(root):
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            for folder in ("plans", *KINDS):
                (path / folder).mkdir()
        writer = cls(path, header)
        writer.update()
        return writer

    def update(self, **fields: Any) -> None:
        """Replaces fields of the header, atomically."""
        self.header |= fields
        with _explained(self.path):
            _replace(self.path / "run.json", _dumps(self.header, indent=1).encode() + b"\n")

    def commit(
        self,
        point: Mapping[str, Any],
        *,
        series: Iterable[Mapping[str, Any]] = (),
        ops: Iterable[Mapping[str, Any]] = (),
        plan: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a point. Its plan (named by `point["plan"]`) and rows are on disk before its line is; the line is the commit, and holds the rows' digests."""
        point_id = str(point["point_id"])
        assert RUN_ID.fullmatch(point_id), point_id
        with _explained(self.path):
            if plan is not None:
                assert PLAN_ID.fullmatch(str(point["plan"])), point["plan"]
                plan_path = self.path / "plans" / f"{point['plan']}.json"
                if not plan_path.exists():
                    _replace(plan_path, _dumps(plan).encode())
            digests = {}
            for kind, text in (("series", text_of(series)), ("ops", text_of(ops))):
                if text:
                    _replace(self.path / kind / f"{point_id}.jsonl.gz", compressed(text))
                    digests[kind] = digest(text)
            _append(self.path / "points.jsonl", _dumps({**point, "digests": digests}).encode() + b"\n")
        self.committed += 1

    def finish(self, status: str) -> None:
        """Writes how the run ended: "done", "interrupted" or "failed"."""
        assert status in ("done", "interrupted", "failed"), status
        self.update(status=status, finished=datetime.now(UTC).isoformat(timespec="seconds"))

    def discard(self) -> None:
        """Removes a run that came to nothing. A run with points is never removed."""
        if self.committed == 0:
            shutil.rmtree(self.path, ignore_errors=True)


def _dumps(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=True, indent=indent, separators=(",", ":") if indent is None else None)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        fix = _FIXES.get(e.errno or 0, e.strerror or str(e))
        raise TokenmillError(f"{path}: cannot write the record: {fix}. Points finished before are kept") from e


def _replace(path: Path, data: bytes) -> None:
    """The file holds `data` whole or is as it was before, whenever the machine stops."""
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        _write(fd, data)
        os.fsync(fd)
    except OSError:
        part.unlink(missing_ok=True)  # on a full disk its room may be what the run's last header needs
        raise
    finally:
        os.close(fd)
    os.replace(part, path)
    _sync_folder(path.parent)


def _append(path: Path, line: bytes) -> None:
    """Appends one line; a line that did not go in whole is taken back, so that a later one is not glued to it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        length = os.fstat(fd).st_size
        try:
            _write(fd, line)
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, length)
            raise
    finally:
        os.close(fd)
    _sync_folder(path.parent)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(path: Path) -> None:
    """A new name in a folder survives a power cut only once the folder itself is on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def parsed(text: bytes) -> Any:
    """JSON without NaN and infinities. ValueError or RecursionError otherwise."""
    return _DECODER.decode(text.decode())


def read_run(ref: str | Path, root: Path = Path("runs")) -> Run:
    """The run that `ref` names: a path (of its folder or a file in it), an id under `root`, or `last` for the newest.

    Its files are untrusted: sizes are capped, links are not followed, names inside are checked. A torn last line is dropped. TokenmillError otherwise.
    """
    path = _find(str(ref), root)
    header = read_header(path)
    points = list(read_points(path))
    return Run(path=path, header=header, points=points, plans=read_plans(path, (p.get("plan") for p in points)))


def read_header(path: Path) -> dict[str, Any]:
    """The run.json of the run in the folder `path`. TokenmillError for one that is damaged or newer than this tokenmill."""
    header = _object(path / "run.json", MOST_HEADER_BYTES)
    found = header.get("schema_version")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise TokenmillError(f"{path}/run.json: has no schema_version; is it a tokenmill run?")
    if found > SCHEMA_VERSION:
        raise TokenmillError(f"{path}: was written by a newer tokenmill (schema {found}, this one reads up to {SCHEMA_VERSION}); upgrade tokenmill")
    if not isinstance(header.get("run_id"), str):
        raise TokenmillError(f"{path}/run.json: has no run_id; is it a tokenmill run?")
    return header


def _find(ref: str, root: Path) -> Path:
    if ref == "last":
        runs = sorted(p.name for p in root.iterdir() if RUN_ID.fullmatch(p.name) and (p / "run.json").is_file()) if root.is_dir() else []
        if not runs:
            raise TokenmillError(f"{root}: holds no run yet; `tokenmill run` makes one")
        return root / runs[-1]  # ids begin with the time
    if RUN_ID.fullmatch(ref) and (root / ref / "run.json").is_file():
        return root / ref
    path = Path(ref)
    try:
        folder = path.parent if path.is_file() else path
        if (folder / "run.json").is_file():
            return folder
    except (OSError, ValueError):  # a name too long or with a zero byte
        pass
    raise TokenmillError(f"no run {ref[:120]!r}: give a run's folder, an id under {root}, or `last`")


def read_plans(path: Path, ids: Iterable[Any], parse: Parse = parsed) -> dict[str, dict[str, Any]]:
    """The plans of these ids, each in a file of its own, or all in the plans.json of a packed run (profiler.record.packed). What is not there is left out."""
    names = sorted({str(name) for name in ids if PLAN_ID.fullmatch(str(name))})
    if (path / "plans.json").exists():
        packed = _object(path / "plans.json", MOST_PLAN_BYTES, parse)
        return {n: packed[n] for n in names if isinstance(packed.get(n), dict)}
    return {n: _object(path / "plans" / f"{n}.json", MOST_PLAN_BYTES, parse) for n in names if (path / "plans" / f"{n}.json").exists()}


def read_points(path: Path, parse: Parse = parsed) -> Iterator[dict[str, Any]]:
    """The points of the run in the folder `path`, in the order they were committed. `parse` turns a line into what it holds."""
    path = path / "points.jsonl"
    if not path.exists():
        return
    for number, line in enumerate(BytesIO(file_bytes(path, MOST_POINTS_BYTES)), start=1):
        if not line.endswith(b"\n"):  # torn by a kill
            return
        try:
            point = parse(line)
        except (ValueError, RecursionError) as e:
            raise TokenmillError(f"{path}: line {number} is damaged ({_short(e)})") from e
        if not isinstance(point, dict) or not isinstance(point.get("point_id"), str) or not RUN_ID.fullmatch(point["point_id"]):
            raise TokenmillError(f"{path}: line {number} is no point of a tokenmill run")
        yield point


def _object(path: Path, most_bytes: int, parse: Parse = parsed) -> dict[str, Any]:
    try:
        value = parse(file_bytes(path, most_bytes))
    except (ValueError, RecursionError) as e:
        raise TokenmillError(f"{path}: is damaged ({_short(e)})") from e
    if not isinstance(value, dict):
        raise TokenmillError(f"{path}: is damaged (not a JSON object)")
    return value


def _short(error: Exception) -> str:
    return str(error)[:80] or type(error).__name__
