"""What an address or a form may hold: numbers and dates of any size and spelling, text of any kind. Each is one entry."""

LONG_LINE = "x = 1 + " * 6_250  # 50,000 characters
BIDI = "abc\u202e\u2066 // \u2069\u200b\u200f def"
EMOJI = "👩‍👩‍👧‍👦 🏳️‍🌈 ﷽ e\u0301"
CONTROLS = "a\x01\x1b[31m\x07\x7f\x85b\tc\rd"
MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 }}{% now %}&amp;'\""
NULL = "a\x00b"  # PostgreSQL cannot store it
STORABLE = (LONG_LINE, BIDI, EMOJI, CONTROLS, MARKUP, " ", "\n" * 200, "-" * 400, "%s %(x)s {0} {x}")
TEXTS = (*STORABLE, NULL, "\ud800", "\ufffe\U0010ffff")
NUMBERS = (
    "0", "-0", "-1", "+1", "1.0", "1e0", "1_000", "1,000", " 1 ", "0x10", "01", "٣", "１２", "²", "½", "一",
    "2147483648", "9223372036854775807", "9223372036854775808", "1" * 20, "9" * 400, "9" * 5000, "-" + "9" * 30,
    "NaN", "nan", "inf", "-inf", "Infinity", "1e200", "-1e200", "1e308", "1e309", "-1e999", "5e-324", "1e-999",
    "0.1" + "0" * 500,
)  # fmt: skip
DATES = (
    "9999-12-31", "0001-01-01", "0000-00-00", "9999-12-31T23:59:59+14:00", "10000-01-01", "-0001-01-01", "1969-12-31",
    "2024-02-30", "2024-W05", "٢٠٢٤-٠١-٠١", "31/12/9999", "12/31/9999", "12/31/99", "today",
)  # fmt: skip
WORDS = (
    "", "null", "undefined", "None", "true", "../../etc/passwd", "a,b,,c", "1,2,3", ",".join(map(str, range(300))), "__class__",
)  # fmt: skip
ALWAYS = ("9999-12-31", "²", "9" * 30, "NaN", "-1")
"""What found faults most often: asked in every run of the tests, the others are drawn."""
PARAMETERS = tuple(dict.fromkeys((*ALWAYS, *NUMBERS, *DATES, *WORDS, *TEXTS)))
