"""What went wrong, in words for the person who can fix it."""

from collections.abc import Iterable
from difflib import get_close_matches


class TokenmillError(Exception):
    """Something the user can fix. Its text is one line and names the fix; the command line prints it and exits with `exit_code`."""

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unknown(kind: str, name: str, known: Iterable[str]) -> TokenmillError:
    """The error for a name that is in no table, offering the nearest names."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
    return TokenmillError(f"unknown {kind} {name[:80]!r}; {hint}")
