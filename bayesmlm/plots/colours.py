"""Colours that can be told apart, and from what they are drawn on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba


@dataclass(frozen=True)
class Palette:
    """Okabe & Ito's (2008) colours, which colour-blind readers tell apart, in roles.

    Attributes
    ----------
    partial, no_pooling, complete : str
        The three kinds of pooling; also of the posterior, of what stands out, and of a reference fit.
    pale, dark : str
        Of the posterior's: what stands back, and what stands out from it.
    grey, light : str
        Lines that help the eye; data behind everything.
    paper : str
        What all is drawn on: fills hollow marks, and sets names off from what they are written over.
    named : str
        Names of highlighted points.
    qualitative : tuple of str
        Several lines, far colours first.
    """

    partial: str
    no_pooling: str
    complete: str
    pale: str
    dark: str
    grey: str
    light: str
    paper: str
    named: str
    qualitative: tuple[str, ...]


ON_LIGHT = Palette(
    partial="#0072B2",
    no_pooling="#D55E00",
    complete="#000000",
    pale="#9CC3DC",
    dark="#00324F",
    grey="#707070",
    light="#A0A0A0",
    paper="#ffffff",
    named="#8A3D00",
    qualitative=("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#B8860B", "#56B4E9"),
)
ON_DARK = Palette(
    partial="#56B4E9",
    no_pooling="#E69F00",
    complete="#FFFFFF",
    pale="#2F6A90",
    dark="#DDF0FC",
    grey="#9A9A9A",
    light="#8A8A8A",
    paper="#000000",
    named="#FFCB66",
    qualitative=("#E69F00", "#56B4E9", "#00B386", "#CC79A7", "#F0E442", "#D55E00"),
)
MOST_LINES = len(ON_LIGHT.qualitative)
MIDDLE = 0.18  # of relative luminance, where black and white stand out alike (W3C's contrast ratio)


def palette_of(ax: Axes) -> Palette:
    """Return the colours for what the Axes have behind them: their own face, over the figure's, over white."""
    figure = ax.get_figure(root=True)
    return palette_on(*([] if figure is None else [figure.get_facecolor()]), ax.get_facecolor())


def palette_of_new_figures() -> Palette:
    """Return the colours for the figures that the style in use makes."""
    return palette_on(rcParams["figure.facecolor"], rcParams["axes.facecolor"])


def palette_on(*faces: Any) -> Palette:
    """Return the colours for faces that lie on one another, the last on top, and all on white."""
    paper = (1.0, 1.0, 1.0)
    for face in faces:
        *rgb, alpha = to_rgba(face)
        r, g, b = (alpha * c + (1 - alpha) * below for c, below in zip(rgb, paper, strict=True))
        paper = (r, g, b)
    if luminance(paper) <= MIDDLE:
        return replace(ON_DARK, paper=to_hex(paper))
    pale, light = (_printed(colour, paper) for colour in (ON_LIGHT.pale, ON_LIGHT.light))
    return replace(ON_LIGHT, paper=to_hex(paper), pale=pale, light=light)


def _printed(colour: str, paper: tuple[float, float, float]) -> str:
    """Return what a colour looks like printed on tinted paper: as much darker than it as than white."""
    r, g, b = (ink * ground for ink, ground in zip(to_rgba(colour)[:3], paper, strict=True))
    return to_hex((r, g, b)).upper()


def luminance(colour: Any) -> float:
    """Return the relative luminance of a colour, 0 for black and 1 for white (W3C, WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(colour)[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
