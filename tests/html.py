"""What a page of HTML offers: addresses that it leads to or fetches by itself, and forms with what is filled in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

ADDRESSES = {  # attribute → how a browser comes there: "link" by a click, "part" by a script of the page, "file" as it loads
    "href": "link",
    "hx-get": "part",
    "src": "file",
    "data-source": "part",
    "data-address": "part",
}
VOID = {"input", "br", "img", "meta", "link", "hr", "wbr", "source", "col", "area", "base", "embed", "track"}


@dataclass(frozen=True)
class Button:
    """A button that sends its form: where, how, and what it adds to it."""

    action: str
    method: str
    name: str
    value: str


@dataclass
class Form:
    """A form: where it is sent, and what it holds as the page comes."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)

    @property
    def data(self) -> dict[str, str]:
        """The last value of each field."""
        return dict(self.fields)

    def button(self, path: str) -> Button | None:
        """The button that posts it to an address."""
        return next((each for each in self.buttons if each.method == "post" and each.action == path), None)

    def posts_to(self, path: str) -> bool:
        """Whether it, or one of its buttons, is posted there."""
        return (self.method == "post" and path == self.action) or self.button(path) is not None


@dataclass
class Page:
    """What was found in one answer, with every address made absolute against that of the page on which it is shown."""

    address: str
    links: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    forms: list[Form] = field(default_factory=list)
    pulse: bool = False

    def form_for(self, path: str) -> Form | None:
        """The form that is sent to this address."""
        return next((form for form in self.forms if form.posts_to(path)), None)


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self.form: Form | None = None
        self.textarea: str | None = None
        self.select: str | None = None
        self.option = False
        self.text = ""
        self.threads_at, self.query = "", ""
        self.threads: set[str] = set()

    def absolute(self, address: str) -> str:
        whole = urlsplit(urljoin(self.page.address, address))
        return whole._replace(fragment="").geturl()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attributes}
        self.note_addresses(tag, told)
        if tag == "form":
            method = told.get("method", "get").lower()
            self.form = Form(self.absolute(told.get("action", "")), method)
            self.page.forms.append(self.form)
        elif self.form is not None and "disabled" not in told:
            self.note_field(tag, told, self.form)

    def note_addresses(self, tag: str, told: dict[str, str]) -> None:
        places = {"link": self.page.links, "part": self.page.parts, "file": self.page.files}
        for name, kind in ADDRESSES.items():
            if (address := told.get(name)) and not address.startswith(("#", "data:", "mailto:")):
                places["file" if tag == "link" and name == "href" else kind].add(self.absolute(address))
        self.note_threads(told)
        self.page.pulse = self.page.pulse or told.get("id") == "pulse"

    def note_threads(self, told: dict[str, str]) -> None:
        """Where static/js/diff-comments.js fetches conversations: an address of the diff, and their numbers."""
        if at := told.get("data-threads-at"):
            self.threads_at, self.query = at, told.get("data-query", "")
        self.threads |= {each.partition(":")[0] for each in told.get("data-threads", "").split()}

    def end(self) -> Page:
        """The page, with what only its whole tells."""
        if self.threads_at:
            self.page.parts |= {self.absolute(f"{self.threads_at}{number}/?{self.query}") for number in self.threads}
        return self.page

    def note_field(self, tag: str, told: dict[str, str], form: Form) -> None:
        name, value, kind = told.get("name", ""), told.get("value", ""), told.get("type", "text")
        if tag == "button" or (tag == "input" and kind == "submit"):
            action = self.absolute(told["formaction"]) if told.get("formaction") else form.action
            form.buttons.append(Button(action, told.get("formmethod", form.method).lower(), name, value))
        elif tag == "input" and name and (kind not in ("checkbox", "radio") or "checked" in told):
            form.fields.append((name, value or ("on" if kind in ("checkbox", "radio") else "")))
        elif tag == "textarea":
            self.textarea, self.text = name, ""
        elif tag == "select":
            self.select = name
        elif tag == "option" and self.select and ("selected" in told or self.select not in form.data):
            form.fields.append((self.select, value))
            self.option = "value" not in told  # then its text is what is sent

    def handle_data(self, data: str) -> None:
        if self.textarea is not None:
            self.text += data
        elif self.option and self.form is not None and self.select:
            self.form.fields[-1] = (self.select, data.strip())
            self.option = False

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = None
        elif tag == "textarea" and self.textarea is not None:
            if self.form is not None and self.textarea:
                self.form.fields.append((self.textarea, self.text.removeprefix("\n")))
            self.textarea = None


def read(address: str, html: str) -> Page:
    """What this answer offers on the page of an address: a piece of page stands where it was fetched into, as in a browser."""
    reader = _Reader(Page(address))
    reader.feed(html)
    reader.close()
    return reader.end()


def is_whole(html: str) -> bool:
    """Whether it is a page, and no piece of one."""
    return html.lstrip()[:15].lower() == "<!doctype html>"


RELATIVE = re.compile(
    r"""\s(?:href|src|action|formaction|hx-(?:get|post)|data-(?:source|address|threads-at))="(?![/#]|\w+:)([^"]+)"""
)


def relative_addresses(html: str) -> list[str]:
    """The addresses that mean something else on another page."""
    return RELATIVE.findall(html)


def addresses(page: Page) -> Iterator[str]:
    """All that a page leads to, and the forms that are sent with GET, as they are filled in."""
    yield from sorted(page.links | page.parts | page.files)
    for form in page.forms:
        if form.method == "get":
            yield form.action


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.instead = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.instead |= tag == "progress"  # what it holds is read where it cannot be drawn
        if tag not in ("a", "b", "abbr", "code", "span"):  # these stand within a sentence
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.instead &= tag != "progress"

    def handle_data(self, data: str) -> None:
        if not self.instead:
            self.parts.append(data)


def text_of(html: str) -> str:
    """What a person reads of some HTML, with one space between words."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    return " ".join("".join(reader.parts).split())
