"""What went wrong in a trial, in one short line."""

from __future__ import annotations

import os
import traceback


def said(error: Exception) -> str:
    """An exception in one short line, with the place that raised it."""
    text, frames = str(error).strip().partition("\n")[0], traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {text[:200]}' if text else ''}{place}"
