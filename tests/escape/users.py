"""The same command as a user without rights, for a machine on which everything belongs to root."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.sandbox.bubblewrap import find_bubblewrap
from training.sandbox.user import unused_user

ROOT = Path(__file__).parent.parent.parent


def as_ordinary_user(command: Sequence[str], folder: Path) -> list[str]:
    """Runs `command` as a user of its own who owns `folder`. As root only, and with bubblewrap.

    Python or this repository may lie in a folder that is closed to others (/root). In a view of the machine that only the
    command has, these folders are open and hold nothing but what it needs.
    """
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None and os.geteuid() == 0
    user = unused_user()
    os.chown(folder, user, user)
    needed = [Path(sys.prefix), Path(sys.base_prefix).resolve(), ROOT]
    closed = {above for path in needed for above in path.parents if above.stat().st_mode & 0o005 != 0o005}
    outermost = [path for path in closed if not any(other != path and path.is_relative_to(other) for other in closed)]
    view = ["--dev-bind", "/", "/"]
    for path in outermost:
        view += ["--perms", "0755", "--tmpfs", str(path)]
        beneath = sorted(other for other in needed if other.is_relative_to(path))
        for above in sorted(
            {between for other in beneath for between in other.parents if between.is_relative_to(path)} - {path}
        ):
            view += ["--perms", "0755", "--dir", str(above)]
        view += [option for other in beneath for option in ("--ro-bind", str(other), str(other))]
    rights = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    become = ("setpriv", "--clear-groups", f"--regid={user}", f"--reuid={user}", "--inh-caps=-all")
    return [bubblewrap, *view, *rights, "--die-with-parent", "--", *become, "env", f"HOME={folder}", *command]
