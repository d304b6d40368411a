"""Rows of a diff as HTML, unified or side by side. Built here and not in a template: a file may have 20,000 of them.

Every code cell is `.code`, every line number `.n.b` (before) or `.n.a` (after); the scripts find lines by these alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from research_app.web.diff.diff import STEP
from research_app.web.diff.lines import Gap, Hunk, Line
from research_app.web.shared.text import visible

MAX_UNFOLDED = 1000  # lines that one press of "all" unfolds

Talk = Callable[[Sequence[Any]], str]  # threads.Placed → HTML
Address = Callable[[Gap, str], str]  # a gap and "top", "bottom" or "all" → where its lines are fetched
Rest = Callable[[Line], str]  # a line → where the part of it that is not shown is fetched


def rows(parts: Iterable[Hunk | Gap], split: bool, talk: Talk, more: Address | None, rest: Rest | None = None) -> SafeString:
    """The parts of a file as table bodies. `more` None: gaps cannot be opened, nor with `rest` None long lines."""
    visible = (
        gap_row(part, split, more) if isinstance(part, Gap) else f"<tbody>{''.join(_lines(part, split, talk, rest))}</tbody>"
        for part in parts
    )
    return mark_safe("\n".join(visible))  # rows escape what they show


def _lines(hunk: Hunk, split: bool, talk: Talk, rest: Rest | None) -> Iterator[str]:
    for line in hunk.lines:
        if line.rest:
            line.html += _rest(line, rest)
    return _split(hunk, talk) if split else _unified(hunk, talk)


_REST = '<a class="rest" href="{0}" hx-get="{0}" hx-target="this" hx-swap="outerHTML">… {1} more characters: show anyway</a>'


def _rest(line: Line, rest: Rest | None) -> SafeString:
    """What stands for the end of a very long line."""
    count = f"{line.rest:,}"
    if rest is None:
        return format_html('<span class="rest">… {} more characters</span>', count)
    return format_html(_REST, rest(line), count)


def _unified(hunk: Hunk, talk: Talk) -> Iterator[str]:
    for line in hunk.lines:
        if line.kind == "note":
            yield f'<tr class="note"><td class="n b"></td><td class="n a"></td><td class="code">{visible(line.text)}</td></tr>'
            continue
        old, new = ("" if n is None else n for n in (line.old, line.new))
        yield (
            f'<tr class="{_classes(line)}{_chunk(line.first)}><td class="n b">{old}</td><td class="n a">{new}</td>'
            f'<td class="code">{_sign(line)}{line.html}</td></tr>'
        )
        yield from (flag_row(flag, 3) for flag in line.flags)
        if threads := [*line.old_threads, *line.new_threads]:
            yield f'<tr class="talk"><td colspan="3">{talk(threads)}</td></tr>'


def _split(hunk: Hunk, talk: Talk) -> Iterator[str]:
    for left, right in paired(hunk.lines):
        first = any(line is not None and line.first for line in (left, right))
        kind = "context" if left is right else "note" if (left or right).kind == "note" else "change"  # type: ignore[union-attr]
        yield f'<tr class="{kind}{_chunk(first)}>{_half(left, "b")}{_half(right, "a")}</tr>'
        sides = [left] if left is right else [left, right]
        yield from (flag_row(flag, 4) for line in sides if line for flag in line.flags)
        before = [thread for line in sides if line for thread in line.old_threads]
        after = [thread for line in sides if line for thread in line.new_threads]
        if before or after:
            yield f'<tr class="talk"><td colspan="2">{talk(before)}</td><td colspan="2">{talk(after)}</td></tr>'


def paired(lines: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """What stands beside what: context on both sides, removed lines beside added ones in their order."""
    removed: list[Line] = []
    added: list[Line] = []
    for line in [*lines, None]:
        if line is not None and line.kind == "removed" and not added:
            removed.append(line)
        elif line is not None and line.kind == "added":
            added.append(line)
        else:
            yield from zip_longest(removed, added)
            removed, added = [], []
            if line is not None and line.kind == "removed":
                removed.append(line)
            elif line is not None:
                yield line, line


def _half(line: Line | None, side: str) -> str:
    if line is None:
        return f'<td class="n {side}"></td><td class="code none"></td>'
    number = line.old if side == "b" else line.new
    if line.kind == "note":
        return f'<td class="n {side}"></td><td class="code note">{visible(line.text)}</td>'
    extra = " rebased" if line.rebased else " respaced" if line.respaced else ""
    cell = f"code {line.kind}{extra}" if line.changed or extra else "code"
    return f'<td class="n {side}">{"" if number is None else number}</td><td class="{cell}">{_sign(line)}{line.html}</td>'


def _classes(line: Line) -> str:
    names = (line.kind, line.rebased and "rebased", line.respaced and "respaced")
    return " ".join(name for name in names if name)


def _chunk(first: bool) -> str:
    """The end of a row's classes: n and p go to the first row of each chunk."""
    return ' chunk" data-chunk' if first else '"'


_SIGNS = {"added": '<i role="img" aria-label="added">+</i>', "removed": '<i role="img" aria-label="removed">−</i>'}


def _sign(line: Line) -> str:
    return _SIGNS.get(line.kind, "")


def flag_row(flag: Any, columns: int) -> str:
    """A risky edit below the line that it is about."""
    return format_html(
        '<tr class="flag {}" id="flag-{}"><td colspan="{}"><span aria-hidden="true">{}</span> <b>{}</b>: {}</td></tr>',
        flag.tone, flag.number, columns, flag.sign, visible(flag.detector), visible(flag.sentence),
    )  # fmt: skip


_TITLES = {"all": "Show all of these unchanged lines", "top": "Show more below", "bottom": "Show more above"}
_BUTTON = '<button type="button" class="plain" title="{}" hx-get="{}" hx-target="closest tbody" hx-swap="outerHTML">{}</button>'


def gap_row(gap: Gap, split: bool, more: Address | None) -> str:
    """The stretch that is not shown, with buttons that fetch its lines into its place."""
    buttons = SafeString("")
    words = f"{gap.count:,} unchanged line{'s' if gap.count > 1 else ''}"
    if more is not None and gap.count:
        offered = [("all", f"show {words}")] if gap.count <= MAX_UNFOLDED else []
        if gap.count > STEP:
            offered += [("top", f"↓ {STEP}")] if gap.new > 1 else []
            offered += [("bottom", f"↑ {STEP}")] if not gap.last else []
        buttons = format_html_join("", _BUTTON, ((_TITLES[take], more(gap, take), label) for take, label in offered))
    elif gap.count:
        buttons = format_html("<span>{}</span>", words)
    return format_html(
        '<tbody class="gap"><tr><td colspan="{}"><div>{}<span class="place">{}</span></div></td></tr></tbody>',
        4 if split else 3, buttons, visible(gap.place),
    )  # fmt: skip
