"""Taking secrets out of command lines and free text before they are recorded: records are meant to be published."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"
# A flag is secret when one of its words is; whole words, because --mix-tokens and --tokens-per-s-per-gpu are not.
_SECRET_WORDS = frozenset(
    ("apikey", "auth", "authorization", "bearer", "cookie", "credential", "credentials", "header", "headers", "key", "passwd", "password", "secret", "token")
)
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,20}://)(?:[^/?#\s@]*@)?(?P<place>[^?#\s]*)(?P<query>\?[^#\s]*)?", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_KEY = re.compile(r"\b(?:sk|hf|nvapi|ghp|xox[a-z])[-_][\w-]{8,}")


def redacted(text: str) -> str:
    """Free text without user:password@ and query values of URLs, bearer tokens and API keys of known shapes."""
    text = _URL.sub(lambda m: m["scheme"] + m["place"] + (f"?{HIDDEN}" if m["query"] else ""), text)
    return _KEY.sub(HIDDEN, _BEARER.sub(lambda m: f"{m[1]} {HIDDEN}", text))


def redacted_argv(argv: Sequence[str]) -> list[str]:
    """A command line without secret values: of flags such as --api-key (both spellings), of environment assignments, inside URLs."""
    kept: list[str] = []
    hide_next = False
    for argument in argv:
        if hide_next and not (argument.startswith("--") and len(argument) > 2):
            kept.append(HIDDEN)
            hide_next = False
            continue
        name, equals, _ = argument.partition("=")
        secret = _is_secret(name)
        hide_next = secret and not equals
        kept.append(f"{name}={HIDDEN}" if secret and equals else redacted(argument))
    return kept


def _is_secret(name: str) -> bool:
    if name == "-H":  # curl's header
        return True
    if not name.startswith("-") and not name.isupper():
        return False
    return not _SECRET_WORDS.isdisjoint(re.split(r"[-_]+", name.lower()))
