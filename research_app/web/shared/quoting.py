"""Text put into LaTeX and Markdown, where it must stay text: titles and names may come from an agent."""

import re

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "±": r"$\pm$", "…": r"\ldots{}", "→": r"$\to$",
    "σ": r"$\sigma$", "×": r"$\times$", "–": "--", "≤": r"$\leq$", "≥": r"$\geq$",
}  # fmt: skip
_SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_POWER = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$&-])")


def latex(text: str) -> str:
    """One line of LaTeX that typesets the text as it is."""
    written = "".join(_LATEX.get(letter, letter) for letter in _CONTROLS.sub(" ", text))
    return _POWER.sub(lambda match: f"$^{{{match[0].translate(_SUPERSCRIPT)}}}$", written)


def markdown_text(text: str) -> str:
    """One line of Markdown that shows the text as it is: nothing in it is a link, markup or HTML."""
    return _MARKDOWN.sub(r"\\\1", _CONTROLS.sub(" ", text))
