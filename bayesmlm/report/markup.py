"""Text that stays what it is in a markup language."""

from __future__ import annotations

import re

MARKDOWN_SPECIAL = re.compile(r"([\\`*_<>|~&])")


def markdown_text(text: str) -> str:
    """Escape what Markdown would take for markup."""
    return MARKDOWN_SPECIAL.sub(r"\\\1", text)
