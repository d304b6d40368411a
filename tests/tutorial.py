"""docs/tutorial/first-hour.md as something to be followed: its commands, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from research_app.home import CODE

TUTORIAL = CODE / "docs" / "tutorial" / "first-hour.md"


def commands() -> list[str]:
    """The blocks that are to be typed into a terminal, in their order."""
    return re.findall(r"```sh\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)


def follow(block: str, home: Path, signoff_home: Path, code: Path = CODE) -> str:
    """Run one block as a person does, whose home is a folder of its own; what it printed. Raises AssertionError with that.

    `var` is where the installation keeps its state; the command signoff is `manage.py` by a shorter name.
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SIGNOFF_HOME": str(signoff_home), "LANG": "C.UTF-8"}
    block = block.replace(" var/", f" {signoff_home}/").replace(".venv/bin/signoff", f"{sys.executable} manage.py")
    done = subprocess.run(["bash", "-euc", block], cwd=code, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout
