"""How the site is built: `uv run --group docs sphinx-build -W docs docs/_build`.

BAYESMLM_GALLERY=False leaves the examples of the gallery unexecuted, for a build in seconds.
"""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "bayesmlm"
author = "The bayesmlm developers"
copyright = "the bayesmlm developers, Apache License 2.0"
version = release = installed_version("bayesmlm")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "gallery_pages",
    "mathml",
    "notebook_pages",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [
    "_build",
    "gallery.md",  # the gallery's list for readers of the repository; here it is gallery/index
    *("gallery/*.ipynb", "gallery/*.py", "gallery/*.md5", "gallery/*.json"),
    "gallery/sg_execution_times.rst",
    "sg_execution_times.rst",
    "**/.ipynb_checkpoints",
]
suppress_warnings = ["config.cache"]
html_math_renderer = "mathml"
toc_object_entries = False

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3

# `name` in a docstring is code, and a link where it is the name of something public.
default_role = "py:obj"
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[/\\][^_][^/\\]*\.py$",
    # quickstart.py is a program with a main(), which quickstart.md goes through; page.py runs a page as a script
    "ignore_pattern": r"__init__\.py|conftest\.py|quickstart\.py|page\.py",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "matplotlib_animations": False,
    "abort_on_example_error": True,
    "plot_gallery": os.environ.get("BAYESMLM_GALLERY", "True"),
    "capture_repr": ("_repr_html_", "__repr__"),
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
}

html_theme = "pydata_sphinx_theme"
html_title = "bayesmlm"
html_static_path = ["_static"]
html_css_files = ["bayesmlm.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # of the system, until the reader chooses
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "bayesmlm"},
    "show_prev_next": False,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app):
    """Write the list of public names before Sphinx looks for pages."""
    from api_pages import without_constructor, write_index

    app.connect("config-inited", lambda app, config: write_index(HERE / "api"))
    app.connect("autodoc-process-signature", without_constructor)
