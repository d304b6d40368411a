"""How `make docs` builds these pages: Sphinx, with a theme of our own that needs no inline script or style, and no network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from research_app.version import VERSION

project = "Signoff"
release = version = VERSION
extensions = ["myst_parser"]
myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 4  # headings can be named in an address, as GitHub does it
myst_url_schemes = {"http": None, "https": None, "mailto": None}
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
exclude_patterns = ["_build", "_theme"]
master_doc = "index"
templates_path = ["_theme"]
html_theme_path = ["."]
html_theme = "_theme"
html_title = "Signoff"
html_copy_source = False
html_show_sourcelink = False
html_search_language = "en"
html_use_index = False
pygments_style = "default"
highlight_language = "none"
