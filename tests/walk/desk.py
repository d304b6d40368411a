"""What a story can do: submit changes, press buttons as somebody, wait for what the loop makes of it, hold the loop."""

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil

from tests.walk.holding import send
from tests.walk.stages import ENDS
from tests.walk.state import Candidate, Database, Snapshot
from tests.walk.visitor import Answer, Visitor

if TYPE_CHECKING:
    from tests.walk.walk import Walk

EVERY = 0.15  # seconds between two looks


class Overdue(AssertionError):
    """What a story waits for did not come."""


class Desk:
    """The installation as one story meets it: with windows and a database connection of its own."""

    def __init__(self, walk: "Walk", project: str) -> None:
        self.walk, self.project = walk, project
        self.database = Database(walk.signoff.home)
        self.visitors: dict[str, Visitor] = {}

    # Looking

    def now(self) -> Snapshot:
        return self.database.snapshot()

    def candidate(self, number: int) -> Candidate:
        return self.now().candidate(self.project, number)

    def wait(self, what: str, true: Callable[[], Any], seconds: float = 0) -> Any:
        """Return once something is true. Raises Overdue, saying what was waited for."""
        deadline = time.monotonic() + (seconds or self.walk.longest_wait)
        while not (found := true()):
            if self.walk.over.is_set():
                raise Overdue(f"the walk ended while waiting for {what}")
            if time.monotonic() > deadline:
                raise Overdue(f"waited {seconds or self.walk.longest_wait:.0f} s for {what}")
            time.sleep(EVERY)
        return found

    def until(self, number: int, *stages: str, seconds: float = 0) -> Candidate:
        """Wait until a candidate is at one of these stages."""

        def there() -> Candidate | None:
            found = self.candidate(number)
            return found if found.stage in stages else None

        try:
            return self.wait(f"C-{number} of {self.project} to be {' or '.join(stages)}", there, seconds)
        except Overdue as overdue:
            found = self.candidate(number)
            raise Overdue(f"{overdue}; it is {found.stage}: {found.why} {found.attention}") from None

    def seen(self, *ends: str) -> None:
        """Wait until these ends were opened as every role."""
        for end in ends:
            assert end in ENDS, end
            self.wait(f"“{end}” to be opened as everybody", lambda end=end: self.walk.covered(end))  # type: ignore[misc]

    # Acting

    def as_(self, role: str) -> Visitor:
        """Somebody with this role, signed in."""
        if role not in self.visitors:
            self.visitors[role] = self.walk.visitor(role)
        return self.visitors[role]

    def submit(self, *changes: tuple[str, str], hypothesis: str = "It learns faster", category: str = "optimiser") -> int:
        """Enter a change over the API, as an outside agent does; the candidate's number."""
        edits = [{"path": "train.py", "old": old, "new": new} for old, new in changes]
        body = {"hypothesis": hypothesis, "category": category, "edits": edits}
        status, told = self.api("POST", f"projects/{self.project}/candidates", body)
        assert status == 201, f"{self.project} refused {hypothesis!r}: {told}"
        return int(told["number"])

    def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One call with the operator's token."""
        headers = {"Authorization": f"Bearer {self.walk.token}", "Content-Type": "application/json"}
        return Visitor(self.walk.signoff.url, "agent").call(method, f"/api/v1/{path}", headers, body)

    def press(self, role: str, number: int, action: str, reason: str = "", **filled: str) -> Answer:
        """Press a button in the decision bar of a candidate's page."""
        page = f"/projects/{self.project}/candidates/{number}/"
        answer = self.as_(role).send(page, f"{page}{action}/", reason=reason, **filled)
        assert answer.status in (200, 302), f"{role} could not {action} C-{number} of {self.project}: {refusal(answer)}"
        return answer

    def send(self, role: str, page: str, action: str, /, *more: tuple[str, str], **filled: str) -> Answer:
        """Send a form of a page of the project."""
        home = f"/projects/{self.project}/"
        answer = self.as_(role).send(home + page, home + action, *more, **filled)
        assert answer.status in (200, 302), f"{role} could not send {action} of {self.project}: {refusal(answer)}"
        return answer

    def command(self, *words: str) -> str:
        """Run `manage.py …`; what it printed."""
        with self.walk.commands:
            done = self.walk.signoff.command(*words)
        assert done.returncode == 0, f"manage.py {' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout

    def hold(self, *names: str) -> Any:
        """Stop services for a moment."""
        return self.walk.hold(*names)

    def attempt(self, number: int) -> int:
        """Which attempt at a run of a candidate trains now; 0 where none does."""
        here = [run for run in self.now().runs if (run.slug, run.number, run.state) == (self.project, number, "running")]
        return max((run.attempts for run in here), default=0)

    def kill_worker_of(self, number: int) -> bool:
        """Kill the worker that trains a run of a candidate now, as a machine without memory does; False where none is."""
        for run in self.now().runs:
            if (run.slug, run.number, run.state) == (self.project, number, "running"):
                name, _, pid = run.leased_by.rpartition("/")[2].partition(" pid ")
                service = f"train.{name.removeprefix('train.')}"
                killed = int(pid or self.walk.signoff.services.get(service, 0))
                if killed and psutil.pid_exists(killed):
                    self.walk.explained(f"{service} was ended by SIGKILL")
                    return send(killed, signal.SIGKILL)
        return False


def refusal(answer: Answer) -> str:
    """Why something was refused, from the page that says so."""
    text = answer.text
    at = text.find('class="refused"')
    return f"{answer.status}: {text[at : at + 400] if at >= 0 else text[:400]}"
