"""The training code that new projects start from."""

from pathlib import Path

DEFAULT = Path(__file__).with_name("default")  # program.md, prepare.py, train.py
BUDGET_FLOPS = 3.2e11  # training FLOPs of one default run; prepare.py has the same for runs by hand
