"""Notebooks as pages of the site, shown with the outputs they were saved with; nothing is run to build the site.

`uv run docs/notebook_pages.py` runs the notebooks in docs/notebooks and saves them with their outputs.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTEBOOKS = HERE / "notebooks"
DOWNLOAD = "{{download}}`Download this notebook <{name}>` to run it in Jupyter or VS Code."


def setup(app: Any) -> dict[str, Any]:
    """Read notebooks as Markdown."""
    from myst_parser.parsers.sphinx_ import MystParser

    class NotebookParser(MystParser):
        supported = ("notebook",)

        def parse(self, inputstring: str, document: Any) -> None:
            """Parse the Markdown that a notebook amounts to."""
            name = Path(document.settings.env.doc2path(document.settings.env.docname)).name
            super().parse(as_markdown(json.loads(inputstring), name), document)

    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def as_markdown(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as Markdown, with a link to the file below the title."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if not parts:
                title, _, rest = source.partition("\n")
                source = f"{title}\n\n{DOWNLOAD.format(name=name)}\n{rest}"
            parts.append(source)
        elif source.strip():
            parts.append(_fenced("python", source))
            parts += [part for output in cell["outputs"] if (part := _shown(output))]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """Return what is shown of an output; progress and other messages are left out."""
    if output["output_type"] == "error":
        raise ValueError(f"a notebook that ends in {output['ename']}: run docs/notebook_pages.py")
    if output["output_type"] == "stream":
        return "" if output["name"] == "stderr" else _fenced("text", "".join(output["text"]))
    data = output["data"]
    if "image/png" in data:
        alt = html.escape(output["metadata"].get("alt", "Picture drawn by the code above"))
        image = "".join(data["image/png"].split())
        picture = f'<img alt="{alt}" style="max-width:100%" src="data:image/png;base64,{image}">'
        return _fenced("{raw} html", f'<div class="output_subarea output_html">{picture}</div>')
    if output["output_type"] == "display_data":
        return ""
    if "text/html" in data:
        page = "".join(data["text/html"])
        return _fenced("{raw} html", f'<div class="output_subarea output_html rendered_html">{page}</div>')
    return _fenced("text", "".join(data["text/plain"]))


def _fenced(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def run_notebook(path: Path) -> Any:
    """Run a notebook in a kernel of this interpreter and return it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", record_timing=False).execute()
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k != "execution"}
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}) and "alt" in cell.metadata:
                output["metadata"]["alt"] = cell.metadata["alt"]
    notebook.metadata.pop("language_info", None)
    nbformat.validate(notebook)
    return notebook


if __name__ == "__main__":
    import nbformat

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        nbformat.write(run_notebook(path), path)
        print(path)
