"""Priors that the caller made with Bambi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bambi


def prior_of_bambi(name: str, options: Mapping[str, Any], args: Mapping[str, Any]) -> bambi.Prior:
    """Return the ``bambi.Prior`` with these arguments, some of which may be such priors too."""
    return bambi.Prior(name, **options, **args)
