"""Reports as HTML: tables with captions and headings that a screen reader can follow, in the colours of the page.

Nothing has a colour of its own: text and rules inherit theirs, so that light and dark pages are both right.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

SHORT = 50  # characters
STYLE = (
    "<style>"
    "div.bayesmlm{color:inherit;max-width:100%;font-variant-numeric:tabular-nums}"
    "div.bayesmlm pre{margin:.2em 0;padding:0;border:0;white-space:pre-wrap;overflow-wrap:anywhere;"
    "color:inherit;background:none;font-family:monospace;font-size:.9em;line-height:1.35}"
    "div.bayesmlm p.said{margin:.2em 0;padding-left:1.2em;text-indent:-1.2em;max-width:60em;font-size:.9em}"
    "div.bayesmlm>div{overflow-x:auto;margin:.3em 0 .7em}"
    "div.bayesmlm table{margin:0;width:auto;border-collapse:collapse;color:inherit;background:none;font-size:.9em}"
    "div.bayesmlm caption{caption-side:top;padding:.2em 0;text-align:left;font-weight:bold;color:inherit}"
    "div.bayesmlm th,div.bayesmlm td{padding:.15em .7em;border:0;color:inherit;background:none;"
    "white-space:nowrap;vertical-align:top}"
    "div.bayesmlm tbody th{font-weight:normal;white-space:normal}"
    "div.bayesmlm thead tr>*{border-bottom:1px solid;vertical-align:bottom}"
    "</style>"
)


def document(pieces: Sequence[str]) -> str:
    """Put pieces of HTML into one element with a style of its own."""
    return f'<div class="bayesmlm">{STYLE}{"".join(pieces)}</div>'


def lines_html(lines: Sequence[str]) -> str:
    """Lines that are laid out in columns, which only a fixed-width font keeps; long ones are wrapped."""
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip("\n"))
    return f"<pre>{html.escape(text)}</pre>" if text.strip() else ""


def heading_html(text: str) -> str:
    """Return a line above paragraphs; outputs of a notebook have no headings, which would be the notebook's own."""
    return f'<p class="said" style="margin-top:.7em"><b>{_escape(text)}</b></p>'


def paragraph_html(text: str, head: str = "") -> str:
    """Sentences, as wide as the page, after a head."""
    name = f"<b>{_escape(head)}</b> " if head else ""
    return f'<p class="said">{name}{html.escape(text)}</p>'


def table_html(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    row_names: Sequence[str] | None = None,
    caption: str = "",
    heads: int = 0,
) -> str:
    """Return a table element; columns of numbers are right-justified, empty columns left out.

    Parameters
    ----------
    headers, rows
        Strings, one per column; a heading that is empty belongs to the numbers left of it, as those of correlations.
    row_names
        Headings of the rows.
    caption
        What the table shows.
    heads
        How many of the columns that are not empty name their row; a cell of the first of them stands for those
        below it that are empty.
    """
    columns = list(zip(headers, *rows, strict=True))
    shown = [column for column in columns if any(cell.strip() for cell in column)]
    align = ["right" if _numeric(column[1:]) else "left" for column in shown]
    first = [] if row_names is None else ["<td></td>"]
    body = []
    for i in range(len(rows)):
        cells = [] if row_names is None else [_heading(row_names[i], "row", "left")]
        for j, column in enumerate(shown):
            text = column[i + 1]
            if j >= heads or (j > 0 and not text.strip()):
                cells.append(f'<td style="text-align:{align[j]}">{_escape(text)}</td>')
            elif text.strip():
                below = _empty_after(column, i + 1) if j == 0 else 0
                cells.append(_heading(text, "rowgroup" if below else "row", align[j], rows=below + 1))
        body.append(f"<tr>{''.join(cells)}</tr>")
    top = f"<thead><tr>{''.join([*first, *_column_headings(shown, align)])}</tr></thead>"
    # A caption is as wide as its table, and broken into lines; a short one need not be.
    keep = ' style="white-space:nowrap"' if len(caption) <= SHORT else ""
    said = f"<caption{keep}>{_escape(caption)}</caption>" if caption else ""
    return f"<div><table>{said}{top}<tbody>{''.join(body)}</tbody></table></div>"


def with_scopes(table: str) -> str:
    """Say of each heading in a table of pandas' Styler what it is the heading of.

    Headings without text are none; in front of a row they leave it to the heading above.
    """
    lines: list[str] = []
    for line in table.split("\n"):
        if not re.search(r'<th class="row_heading level1[^>]*></th>', line):
            lines.append(line)
            continue
        at = max(i for i, old in enumerate(lines) if '<th class="row_heading level1' in old)
        tag, rest = lines[at].split(">", 1)
        span = re.search(r' rowspan="(\d+)"', tag)
        many = 2 if span is None else int(span[1]) + 1
        tag = tag.rstrip() if span is None else tag.replace(span[0], "")
        lines[at] = f'{tag} rowspan="{many}">{rest}'
    table = "\n".join(lines)
    table = re.sub(r'<th class="(?:blank|index_name)[^"]*" *>&nbsp;</th>', "<td></td>", table)

    def scoped(heading: re.Match[str]) -> str:
        where, more = heading["where"], heading["more"]
        return f'<th scope="{where}{"group" if "span=" in more else ""}" class="{where}_heading{more}>'

    return re.sub(r'<th class="(?P<where>row|col)_heading(?P<more>[^>]*?) *>', scoped, table)


def _column_headings(shown: Sequence[Sequence[str]], align: Sequence[str]) -> list[str]:
    """Headings of columns; one is that of the columns of numbers right of it that have none."""
    found, j = [], 0
    while j < len(shown):
        wide = 1
        if not shown[j][0].strip():
            found.append("<td></td>")
        else:
            while j + wide < len(shown) and not shown[j + wide][0].strip() and align[j + wide] == "right":
                wide += 1
            # Over several columns the heading stands where the first begins.
            side = align[j] if wide == 1 else "left"
            found.append(_heading(shown[j][0], "col" if wide == 1 else "colgroup", side, columns=wide))
        j += wide
    return found


def _heading(text: str, scope: str, side: str, rows: int = 1, columns: int = 1) -> str:
    more = f' rowspan="{rows}"' if rows > 1 else ""
    more += f' colspan="{columns}"' if columns > 1 else ""
    return f'<th scope="{scope}"{more} style="text-align:{side}">{_escape(text)}</th>'


def _empty_after(column: Sequence[str], at: int) -> int:
    below = 0
    while at + below + 1 < len(column) and not column[at + below + 1].strip():
        below += 1
    return below


def _numeric(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers or intervals rather than words."""
    return all(not c.strip() or c.strip()[0] in "+-[.0123456789<N" for c in cells)


def _escape(text: str) -> str:
    return html.escape(text.strip().replace("[ ", "["))  # where text has a blank in place of a minus
