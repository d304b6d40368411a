"""What the colours of a language are made of: its comments, strings, numbers and words. One row makes a language known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOTHING = "(?!)"
_DECORATOR = r"^[ \t]*+@[\w.]++"
_EXPONENT = r"(?:[eE][+-]?\d++)?"
_NUMBER = rf"(?<![\w.])(?:0[xXoObB][\da-fA-F_]++|\d[\d_]*+(?:\.[\d_]*+)?{_EXPONENT}|\.\d[\d_]*+{_EXPONENT})"


@dataclass(frozen=True)
class Language:
    """How a language is written. `long` are pairs of marks around what may go over several lines, with its class."""

    comment: str = "#"  # a pattern of what begins a comment to the end of its line; empty for none
    quotes: str = "\"'"
    long: tuple[tuple[str, str, str], ...] = ()  # beginning, end, class
    keywords: frozenset[str] = frozenset()
    builtins: frozenset[str] = frozenset()
    defines: frozenset[str] = frozenset()  # keywords before a name that they define
    decorators: bool = False
    prefixes: frozenset[str] = frozenset()  # words that belong to the string behind them
    within: str = ""  # a pattern of what stands before a quote that begins a string; empty: anything may

    @cached_property
    def token(self) -> re.Pattern[str]:
        """The next thing that has a colour.

        No part of it looks for an end that may not be there, so that each takes a time linear in what it finds: a string
        that is not closed ends with its line.
        """
        long = "|".join(re.escape(begin) for begin, _, _ in self.long)
        before = f"(?:(?<={self.within})|^)" if self.within else ""
        # (?s:.) also takes a line end: in most languages a string goes on behind a backslash.
        strings = "|".join(rf"{before}{mark}(?:[^{mark}\\\n]|\\(?s:.))*+{mark}?" for mark in self.quotes)
        parts = {
            "long": long or _NOTHING,
            "c": rf"(?:{self.comment or _NOTHING})[^\n]*+",
            "s": strings or _NOTHING,
            "d": _DECORATOR if self.decorators else _NOTHING,
            "m": _NUMBER,
            "word": r"[^\W\d]\w*+",
        }
        return re.compile("|".join(f"(?P<{name}>{part})" for name, part in parts.items()), re.MULTILINE)

    @cached_property
    def ends(self) -> Mapping[str, tuple[str, str]]:
        """What begins something long → its end and its class."""
        return {begin: (end, css) for begin, end, css in self.long}

    @cached_property
    def classes(self) -> Mapping[str, str]:
        return dict.fromkeys(self.builtins, "b") | dict.fromkeys(self.keywords, "k")


_PYTHON = Language(
    long=(('"""', '"""', "s"), ("'''", "'''", "s")),
    keywords=_words(
        "and as assert async await break case class continue def del elif else except finally for from global "
        "if import in is lambda match nonlocal not or pass raise return try while with yield None True False"
    ),
    builtins=_words(
        "abs all any bool bytes callable dict dir enumerate eval exec filter float format frozenset getattr "
        "globals hasattr hash id input int isinstance issubclass iter len list locals map max min next object "
        "open ord pow print property range repr reversed round self set setattr slice sorted staticmethod "
        "classmethod str sum super tuple type vars zip Exception ValueError TypeError KeyError IndexError "
        "RuntimeError NotImplementedError AssertionError StopIteration"
    ),
    defines=_words("def class"),
    prefixes=_words("f r b u rb br fr rf t"),
    decorators=True,
)
_C = Language(
    comment="//",
    long=(("/*", "*/", "c"),),
    keywords=_words(
        "alignas auto break case catch class const constexpr continue default delete do else enum explicit "
        "extern for friend goto if inline mutable namespace new noexcept operator private protected public "
        "register return sizeof static static_assert struct switch template this throw try typedef typename "
        "union using virtual volatile while true false nullptr NULL __global__ __device__ __host__ __shared__ "
        "__constant__ __restrict__ __launch_bounds__ __syncthreads"
    ),
    builtins=_words(
        "bool char double float int long short signed unsigned void size_t int8_t int16_t int32_t int64_t "
        "uint8_t uint16_t uint32_t uint64_t half dim3 threadIdx blockIdx blockDim gridDim"
    ),
    defines=_words("class struct enum namespace"),
)
_SCRIPT = Language(
    comment="//",
    long=(("/*", "*/", "c"), ("`", "`", "s")),
    keywords=_words(
        "async await break case catch class const continue default delete do else export extends finally for "
        "from function if import in instanceof interface let new of return static super switch this throw try "
        "type typeof var void while yield true false null undefined package func go chan map range select "
        "struct defer fallthrough"
    ),
    defines=_words("class function interface type func struct"),
)
_RUST = Language(
    comment="//",
    quotes='"',
    long=(("/*", "*/", "c"),),
    keywords=_words(
        "as async await break const continue crate dyn else enum extern fn for if impl in let loop match mod "
        "move mut pub ref return self static struct super trait type unsafe use where while true false"
    ),
    builtins=_words(
        "bool char f32 f64 i8 i16 i32 i64 isize str u8 u16 u32 u64 usize String Vec Option Result Some None Ok Err"
    ),
    defines=_words("fn struct enum trait mod"),
)
_JULIA = Language(
    long=(('"""', '"""', "s"), ("#=", "=#", "c")),
    quotes='"',
    keywords=_words(
        "abstract begin break catch const continue do else elseif end export finally for function global if "
        "import in let local macro module mutable primitive quote return struct try type using where while "
        "true false nothing"
    ),
    defines=_words("function struct macro module"),
)
_R = Language(
    keywords=_words("if else repeat while function for in next break TRUE FALSE NULL Inf NaN NA library require return")
)
_LUA = Language(
    comment="--",
    long=(("--[[", "]]", "c"), ("[[", "]]", "s")),
    keywords=_words(
        "and break do else elseif end false for function goto if in local nil not or repeat return then true until while self"
    ),
    defines=_words("function"),
)
_SQL = Language(
    comment="--",
    long=(("/*", "*/", "c"),),
    keywords=_words(
        "select from where insert into values update set delete create table view index drop alter and or not "
        "null join left right inner outer on group by order having limit distinct as in is like between union "
        "all case when then else end with"
    )
    | _words(
        "SELECT FROM WHERE INSERT INTO VALUES UPDATE SET DELETE CREATE TABLE VIEW INDEX DROP ALTER AND OR NOT "
        "NULL JOIN LEFT RIGHT INNER OUTER ON GROUP BY ORDER HAVING LIMIT DISTINCT AS IN IS LIKE BETWEEN UNION "
        "ALL CASE WHEN THEN ELSE END WITH"
    ),
)
_SHELL = Language(
    comment=r"(?:(?<=[\s;(])|^)#",
    keywords=_words(
        "if then else elif fi for while until do done case esac in function select return exit export local set source"
    ),
    builtins=_words("echo cd printf read test eval exec trap shift unset"),
)
_AFTER = r"[\s\[{(,:=-]"  # what may stand before a string in settings: an apostrophe in a word begins none
_TRUTHS = _words("true false null yes no on off True False None")
_YAML = Language(comment=r"(?:(?<=\s)|^)#", within=_AFTER, keywords=_TRUTHS)
_TOML = Language(long=(('"""', '"""', "s"), ("'''", "'''", "s")), keywords=_TRUTHS | _words("inf nan"))
_JSON = Language(comment="", quotes='"', keywords=_TRUTHS)
_INI = Language(comment=r"^[ \t]*+[;#]", within=_AFTER, keywords=_TRUTHS)
_MAKE = Language(quotes="", keywords=_words("ifeq ifneq ifdef ifndef else endif include define endef export override"))
_DOCKER = Language(
    comment=r"^[ \t]*+#",
    keywords=_words(
        "FROM AS RUN CMD LABEL EXPOSE ENV ADD COPY ENTRYPOINT VOLUME USER WORKDIR ARG ONBUILD STOPSIGNAL HEALTHCHECK SHELL"
    ),
)
_BY_SUFFIX: Mapping[str, Language] = {
    **dict.fromkeys((".py", ".pyi", ".pyx", ".pxd"), _PYTHON),
    **dict.fromkeys((".c", ".h", ".cc", ".cpp", ".hpp", ".cxx", ".cu", ".cuh", ".java", ".metal"), _C),
    **dict.fromkeys((".js", ".mjs", ".ts", ".tsx", ".jsx", ".go"), _SCRIPT),
    **dict.fromkeys((".sh", ".bash", ".zsh"), _SHELL),
    **dict.fromkeys((".yaml", ".yml"), _YAML),
    **dict.fromkeys((".ini", ".cfg", ".conf", ".properties"), _INI),
    ".rs": _RUST,
    ".jl": _JULIA,
    ".r": _R,
    ".lua": _LUA,
    ".sql": _SQL,
    ".toml": _TOML,
    ".json": _JSON,
    ".mk": _MAKE,
}
_BY_NAME: Mapping[str, Language] = {"makefile": _MAKE, "dockerfile": _DOCKER}


def language_of(path: str) -> Language | None:
    """The language that a file's name promises; None for one that is not known here."""
    name = PurePosixPath(path)
    return _BY_NAME.get(name.name.lower()) or _BY_SUFFIX.get(name.suffix.lower())
