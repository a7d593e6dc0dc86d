"""Which modules of a quantized checkpoint stayed in its own dtype, from the names and patterns its config.json lists. Importable without torch.

The lists are untrusted: a pattern is never handed to `re` as it stands. It is cut at its wildcards, and each piece becomes an atomic group that finds its
leftmost place and keeps it, so that no pattern takes longer than its length times the name's.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache

from triton_kernels.errors import TokenmillError

MOST_ALTERNATIVES = 64  # of one pattern's (a|b) groups multiplied out
# What the regular expressions of published checkpoints use (compressed-tensors' "re:" entries): names, `.`, `.*`, `\.`, `\d+` and `(a|b)`.
_TOKEN = re.compile(r"(?P<star>\.\*)|(?P<digits>(?:\\d|\[0-9\])\+?)|(?P<dot>\\\.)|(?P<any>\.)|\((?:\?:)?(?P<either>[\w|]+)\)|(?P<literal>[\w\-/])")
_STAR = "*"


def stays(module: str, not_converted: tuple[str, ...]) -> bool:
    """Whether `module` is one that was not converted: it or a module around it is listed by name, by last name, by a `*` pattern or by an `re:` one."""
    names, patterns = _compiled(not_converted)
    ends = [i for i, c in enumerate(module) if c == "."]
    if module in names or any(module[:i] in names or module[i + 1 :] in names for i in ends):
        return True
    return any(p.match(module) for p in patterns)


def pattern_problem(pattern: str) -> str | None:
    """Why `pattern` cannot be used; None when it can."""
    try:
        _regexes(pattern)
    except ValueError as e:
        return str(e)
    return None


@lru_cache(maxsize=64)
def _compiled(not_converted: tuple[str, ...]) -> tuple[frozenset[str], tuple[re.Pattern[str], ...]]:
    for pattern in not_converted:
        if problem := pattern_problem(pattern):
            raise TokenmillError(f"pattern {pattern[:60]!r} of a checkpoint's modules that were not converted {problem}")
    names = frozenset(p for p in not_converted if not _is_pattern(p))
    return names, tuple(re.compile(r, re.DOTALL) for p in not_converted if _is_pattern(p) for r in _regexes(p))


def _is_pattern(pattern: str) -> bool:
    return pattern.startswith("re:") or "*" in pattern


def _regexes(pattern: str) -> list[str]:
    if not _is_pattern(pattern):
        return []
    if not pattern.startswith("re:"):  # as transformers and vLLM: the pattern may end where a module's name does
        return [_atomic([re.escape(piece) for piece in pattern.split("*")], end=r"(?=\.|\Z)")]
    body = pattern.removeprefix("re:").removeprefix("^")
    end = r"\Z" if body.endswith("$") and not body.endswith("\\$") else ""  # as re.match: otherwise the pattern may end anywhere
    choices = _tokens(body.removesuffix("$"))
    count = 1
    for choice in choices:
        count *= len(choice)
        if count > MOST_ALTERNATIVES:
            raise ValueError(f"has more than {MOST_ALTERNATIVES} alternatives")
    return [_atomic(_pieces(chosen), end=end) for chosen in itertools.product(*choices)]


def _tokens(body: str) -> list[tuple[str, ...]]:
    """The alternatives of each token of a regular expression, as regular expressions that match one fixed text, or `_STAR`."""
    found: list[tuple[str, ...]] = []
    at = 0
    while at < len(body):
        token = _TOKEN.match(body, at)
        if token is None:
            raise ValueError(r"uses more of regular expressions than names, `.`, `.*`, `\.`, `\d+`, `(a|b)` and a final `$`")
        kind, text = token.lastgroup, token.group()
        if kind == "star":
            found.append((_STAR,))
        elif kind == "either":
            found.append(tuple(re.escape(name) for name in token["either"].split("|")))
        elif kind == "digits":
            found.append((r"[0-9]++" if text.endswith("+") else "[0-9]",))
        else:
            found.append((text if kind in ("dot", "any") else re.escape(text),))
        at = token.end()
    return found


def _pieces(tokens: tuple[str, ...]) -> list[str]:
    """The tokens joined between wildcards."""
    pieces = [""]
    for token in tokens:
        if token == _STAR:
            pieces.append("")
        else:
            pieces[-1] += token
    return pieces


def _atomic(pieces: list[str], *, end: str) -> str:
    """A regular expression for pieces with anything between them, which never gives a piece's place up once it is found."""
    first, *rest = pieces
    if not rest:
        return first + end
    *middle, last = rest
    groups = [f"(?>.*?{piece})" for piece in middle if piece]
    return first + "".join(groups) + (f"(?>.*?{last}{end})" if last else "")
