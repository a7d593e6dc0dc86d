"""Templates of pages: one file out of this package's own texts and of data that can do nothing in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.report.html.packing import script_json
from profiler.report.numbers import NONE, fixed
from profiler.report.text import plain
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent


def rendered(template: str, scripts: Sequence[str], styles: Sequence[str], **context: Any) -> str:
    """The page that a template of this folder makes of `context`, with the scripts and styles (files of this folder) in it and leave for no others to run.

    Texts of `context` lose control and direction characters and are escaped; `safe` is for this folder's files alone, `tojson` is script_json. TokenmillError
    where Jinja is not installed.
    """
    codes, sheets = ([file_text(name) for name in names] for names in (scripts, styles))
    policy = [
        "default-src 'none'", f"script-src {' '.join(map(_hash, codes))}", f"style-src {' '.join(map(_hash, sheets))}", "img-src data:", "base-uri 'none'",
        "form-action 'none'",
    ]  # fmt: skip
    return _environment().get_template(template).render(**context, scripts=codes, styles=sheets, policy="; ".join(policy))


def _hash(text: str) -> str:
    """A source of a content security policy: this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def file_text(name: str) -> str:
    """A script, a style or a notice of this folder: nothing in it ends the element or the comment that it stands in."""
    text = (_HERE / name).read_text(encoding="utf-8")
    assert not any(end in text.lower() for end in ("</script", "</style", "<!--", "-->")), name
    return text


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise TokenmillError("a page needs Jinja: pip install 'tokenmill[report]'") from error

    kept = lru_cache(maxsize=1 << 13)(plain)  # a page has few different texts, however many cells

    def inert(value: Any) -> Any:
        """Escaping comes after."""
        return kept(value) if value.__class__ is str else value

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=inert
    )
    environment.policies |= {"json.dumps_function": script_json, "json.dumps_kwargs": {}}
    environment.filters["of"] = of_device
    environment.globals |= {"NONE": NONE, "small": small, "counted": counted}
    return environment


def of_device(text: str, device: str) -> str:
    """A unit per GPU as one per CPU, where that is what was measured."""
    return text.replace("GPU", device)


def small(value: float | None) -> str:
    """Three digits; what is too small to matter in its column is said so and not rounded to 0."""
    if value is None:
        return NONE
    if 0 < abs(value) < 0.0005:
        return "<0.001" if value > 0 else ">-0.001"
    return fixed(value) if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


def counted(number: int, name: str) -> str:
    """`1 point`, `3 points`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
