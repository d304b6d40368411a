"""Sets up outside the sandbox what the attempts try to reach, makes them inside, and looks at the outcome from outside."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from training.process import Process, clean_environment
from training.sandbox.confinement import CannotConfine, Confinement, Level, confined

ATTEMPTS = Path(__file__).with_name("attempts.py")
MIB = 1 << 20
SECONDS = 20.0  # for all attempts together; they take less than one


@dataclass
class Findings:
    """What the attempts got: name -> evidence, "" for one that was stopped. `trouble`: why they could not be made."""

    attempts: dict[str, str] = field(default_factory=dict)
    harm: list[str] = field(default_factory=list)  # seen from outside
    trouble: str = ""

    @property
    def escaped(self) -> list[str]:
        """What got out, in words."""
        return [f"{name}: {evidence}" for name, evidence in self.attempts.items() if evidence] + self.harm


class Stage:
    """A folder with secrets, a run's own folders, another process and open sockets. A context manager; for one level."""

    def __init__(self) -> None:
        wide = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None  # unlike /tmp, no level puts another one there
        self.folder = Path(tempfile.mkdtemp(prefix="signoff-probe-", dir=wide))
        self.secret = secrets.token_hex(8)
        self.text = f"the secret is {self.secret}\n"
        self.left = (Path("/tmp") / f"signoff-attempt-{self.secret}", Path.home() / ".signoff-attempt")
        self.stack = ExitStack()
        self.targets: dict[str, str | int] = {}

    def __enter__(self) -> Self:
        try:
            self._files()
            self._process()
            self._sockets()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()
        for path in self.left:
            with suppress(OSError):
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def examine(self, level: Level) -> Findings:
        """Make every attempt at a level, with the command line of a run."""
        findings = Findings()
        environment = clean_environment(self.folder / "scratch")
        try:
            command = confined(
                [sys.executable, "-I", "-S", str(ATTEMPTS), str(self.folder / "targets")], self._confinement(level)
            )
            with Process(command, cwd=self.folder / "tree", environment=environment, memory_limit=512 * MIB) as process:
                in_time = process.wait(SECONDS)
        except (CannotConfine, OSError) as error:
            findings.trouble = str(error)
            return findings
        for line in process.log.text().splitlines():
            with suppress(ValueError):
                name, evidence = json.loads(line)
                findings.attempts[name] = evidence
        findings.harm = list(self._harm())
        if not in_time:
            findings.trouble = f"its attempts took more than {SECONDS:g} s"
        elif process.ended is None or process.ended.exit_code != 0:
            findings.trouble = process.log.last_lines(2) or "it ended without a word"
        return findings

    def _confinement(self, level: Level) -> Confinement:
        return Confinement(
            level=level,
            readable=(
                self.folder / "tree",
                self.folder / "visible",
                self.folder / "packages",
                self.folder / "targets",
                ATTEMPTS,
            ),
            writable=self.folder / "scratch",
            device="cpu",
            memory_limit=512 * MIB,
            processes=64,
            file_size=16 * MIB,
            scratch_size=64 * MIB,
            hidden=(self.folder / "packages" / "held",),
        )

    def _files(self) -> None:
        """Everybody may read everything, so that it is the sandbox that stops them, not the modes of files."""
        self.folder.chmod(0o755)
        places = {
            "key": "keys/key",
            "gate": "held_out/gate.bin",
            "hidden": "held_out/hidden.bin",
            "database": "db/signoff.sqlite3",
            "package": "packages/held/text.py",
            "other_series": "other_run/series.jsonl",
            "source": "tree/train.py",
            "train_data": "visible/train.bin",
        }
        for name, place in places.items():
            path = self.folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text)
            self.targets[name] = str(path)
        (self.folder / "scratch").mkdir()
        for name, place in {"tree": "tree", "data": "visible", "other_run": "other_run"}.items():
            self.targets[name] = str(self.folder / place)
        self.before = self._state()

    def _process(self) -> None:
        """Another process of the worker's user, with a secret in its environment."""
        environment = {"SECRET": self.secret, "PATH": os.defpath}
        # It ends with this process, however that ends: nobody else holds its input open.
        victim = subprocess.Popen(["cat"], env=environment, stdin=subprocess.PIPE, start_new_session=True)
        assert victim.stdin
        self.stack.callback(victim.stdin.close)
        self.stack.callback(victim.wait)
        self.stack.callback(victim.kill)  # called first
        self.victim = victim
        self.targets |= {"victim": victim.pid, "victim_group": victim.pid, "worker": os.getpid()}

    def _sockets(self) -> None:
        """Servers on the machine, and all that the attempts must know in one file."""
        abstract = f"signoff-{self.secret}"
        paths = [str(self.folder / "db" / name) for name in ("stream", "datagram")]
        self.servers = {}
        for name, family, kind, address in (
            ("TCP", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("UDP", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract),
            ("unix", socket.AF_UNIX, socket.SOCK_STREAM, paths[0]),
            ("unix datagram", socket.AF_UNIX, socket.SOCK_DGRAM, paths[1]),
        ):
            server = self.stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            server.setblocking(False)
            if kind == socket.SOCK_STREAM:
                server.listen()
            self.servers[name] = server
        for path in paths:
            os.chmod(path, 0o777)
        key = self.stack.enter_context((self.folder / "keys" / "key").open("rb"))
        os.set_inheritable(key.fileno(), True)
        self.targets |= {
            "secret": self.secret,
            "tcp_port": self.servers["TCP"].getsockname()[1],
            "udp_port": self.servers["UDP"].getsockname()[1],
            "abstract": abstract,
            "socket": paths[0],
            "datagram_socket": paths[1],
            "packages": sysconfig.get_path("purelib"),
            "outside_tmp": str(self.left[0]),
            "home": str(Path.home()),
        }
        (self.folder / "targets").write_text(json.dumps(self.targets))

    def _state(self) -> dict[str, tuple[int, ...]]:
        """Size, mode and time of every file that no attempt may change."""
        state: dict[str, tuple[int, ...]] = {}
        for folder in ("keys", "held_out", "db", "packages", "other_run", "tree", "visible"):
            for path in (self.folder / folder).rglob("*"):
                if path.is_file():
                    status = path.stat()
                    state[str(path.relative_to(self.folder))] = (
                        status.st_size,
                        status.st_mode,
                        status.st_ino,
                        status.st_mtime_ns,
                    )
        return state

    def _harm(self) -> list[str]:
        """What can be seen from outside."""
        harm = [f"{path} was left" for path in self.left if path.exists()]
        after = self._state()
        harm += [f"{name} was changed" for name in sorted({*self.before, *after}) if self.before.get(name) != after.get(name)]
        if self.victim.poll() is not None:
            harm.append("another process was ended")
        for name, server in self.servers.items():
            with suppress(BlockingIOError):
                if server.type == socket.SOCK_STREAM:
                    server.accept()[0].close()
                else:
                    server.recv(64)
                harm.append(f"the {name} server was reached")
        return harm
