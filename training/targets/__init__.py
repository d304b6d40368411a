"""The training code that new projects start from."""

from pathlib import Path

DEFAULT = Path(__file__).with_name("default")  # program.md, prepare.py, train.py
BUDGET_FLOPS = 4e11  # training FLOPs of one default run, the same as in the target's prepare.py
EDITABLE = ("train.py",)
PROTECTED = ("prepare.py", "program.md")
