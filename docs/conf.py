"""How `make docs` builds these pages: Sphinx, with a theme of our own that needs no inline script or style, and no network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

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


class Translator(HTML5Translator):
    """Sphinx's own, for whoever reads with keys or a screen reader: captions have their level, what is wide can be scrolled."""

    def starttag(self, node: nodes.Node, tagname: str, suffix: str = "\n", empty: bool = False, **attributes: str) -> str:
        if attributes.get("ROLE") == "heading":
            attributes["ARIA-LEVEL"] = "2"
        if tagname == "table":
            attributes["TABINDEX"] = "0"
        return super().starttag(node, tagname, suffix, empty, **attributes)

    def visit_literal_block(self, node: nodes.literal_block) -> None:
        try:
            super().visit_literal_block(node)
        finally:  # it leaves by an exception: the node has no parts of its own
            self.body[-1] = self.body[-1].replace("<pre>", '<pre tabindex="0">', 1)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.set_translator("html", Translator)
