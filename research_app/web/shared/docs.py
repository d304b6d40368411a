"""/docs/ : the documentation of this version, for those who are signed in.

Where `make docs` built a site with a search (`research_app/docs_site.py`), its files are served. Otherwise each page is
rendered as it is asked for. Addresses that end in .md lead to the same page in both cases.
"""

import itertools
import mimetypes
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from research_app import docs_site
from research_app.home import CODE
from research_app.web.shared.access import researcher

FOLDER = CODE / "docs"
SHOWN = (".md", ".png", ".svg")


@dataclass(frozen=True)
class Document:
    """One page, rendered."""

    name: str  # its path in the folder
    title: str
    html: SafeString


@researcher
@require_safe
def docs_index(request: HttpRequest) -> HttpResponse:
    """All pages by title: the tutorial first, then the others, then the decisions."""
    if "index.html" in site():
        return built("index.html")
    names = [name for name in sorted(files(), key=in_order) if name.endswith(".md") and name != "index.md"]
    pages = [document(name, written(name)) for name in names]
    return render(request, "docs/docs_index.html", {"pages": pages})


@researcher
@require_safe
def docs(request: HttpRequest, name: str) -> HttpResponse:
    """One page, or one of its pictures. Only what lies in the folder can be named."""
    if name in (there := site()):
        return built(name)
    if (page := f"{name.removesuffix('.md')}.html") in there:
        return redirect("docs", page)
    if name not in files():
        raise Http404("There is no such page in the documentation.")
    if not name.endswith(".md"):
        return HttpResponse((FOLDER / name).read_bytes(), content_type=mimetypes.guess_type(name)[0])
    return render(request, "docs/docs.html", {"page": document(name, written(name))})


def site() -> set[str]:
    """The files of the built site; none where there is none, or where a document changed since."""
    return docs_site.served(docs_site.SITE) if docs_site.is_fresh(docs_site.SITE) else set()


def built(name: str) -> HttpResponse:
    """A file of the site that was built."""
    return HttpResponse((docs_site.SITE / name).read_bytes(), content_type=mimetypes.guess_type(name)[0])


def files() -> set[str]:
    """Pages and pictures, as paths in the folder."""
    paths = (path for path in FOLDER.rglob("*") if path.suffix in SHOWN and "_build" not in path.parts)
    return {path.relative_to(FOLDER).as_posix() for path in paths}


def in_order(name: str) -> tuple[bool, bool, str]:
    """Sorts the tutorial to the front and decisions to the end."""
    return name.startswith("decisions/"), not name.startswith("tutorial/"), name


def written(name: str) -> float:
    """When a page was changed: a rendered one is kept until then."""
    return Path(FOLDER / name).stat().st_mtime


@lru_cache(maxsize=256)
def document(name: str, written: float) -> Document:
    """Render a page. HTML in it stays text; links to what is not in the folder lead nowhere."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse((FOLDER / name).read_text(encoding="utf-8"))
    title = name_headings(tokens)
    for token in tokens:
        for child in token.children or ():
            mend_link(name, child)
    html = markdown.renderer.render(tokens, markdown.options, {}).replace("<pre>", '<pre tabindex="0">')  # keys scroll it
    html = mark_safe(html)  # every text of it escaped by the renderer
    return Document(name, title or name, html)


def name_headings(tokens: Sequence[Token]) -> str:
    """Give every heading an id that an address can name. Returns the first heading's text."""
    first = ""
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            opening.attrSet("id", slug(text))
            first = first or text
    return first


def slug(heading: str) -> str:
    """A heading as the end of an address, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def mend_link(page: str, token: Token) -> None:
    """Take the address from a link that leads out of the folder to somewhere that is not served."""
    address = str(token.attrGet("href") or "")
    parts = urlsplit(address)
    if token.type != "link_open" or parts.scheme or not parts.path:
        return
    if posixpath.normpath(posixpath.join(posixpath.dirname(page), parts.path)) not in files():
        del token.attrs["href"]
