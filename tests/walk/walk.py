"""The walk itself: starts the installation, lets the stories happen, and opens every page again and again meanwhile."""

import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.html import is_whole
from tests.installation import Installation
from tests.messages_server import KEY, MessagesServer
from tests.receivers import Webhook, webhook
from tests.walk import logs
from tests.walk.browser import BROWSER, Windows, Wish
from tests.walk.catching import Catch
from tests.walk.crawl import ANYBODY, ROLES, Crawl, Target
from tests.walk.desk import Desk
from tests.walk.faults import Fault, faults_of, strays
from tests.walk.holding import Hold
from tests.walk.model import model
from tests.walk.pictures import Pictures, stage_of, worth
from tests.walk.projects import PROJECTS
from tests.walk.setting import installation, set_up
from tests.walk.stages import ENDS
from tests.walk.state import Database, Snapshot
from tests.walk.stories import STORIES, Story
from tests.walk.visitor import LONGEST, Answer, Visitor

FIRST = ("/", "/fleet/", "/audit/", "/turns.json", "/healthz", "/sign-in/", "/settings/tokens/", "/settings/notifications/")
AT_ONCE = 10  # addresses between two looks at the stages
SETTINGS = {"SIGNOFF_DEVICES": "cpu:2", "LEASE_SECONDS": "60"}  # leases that survive being held on a busy machine


@dataclass(frozen=True)
class Plan:
    """How far to walk: `short` for the tests; `longest_wait` in seconds for one thing of a story, `limit` for all."""

    short: bool
    seed: int = 1
    longest_wait: float = 900.0  # the machine may be busy
    limit: float = 7200.0
    calm: float = 60.0  # seconds to go on opening what nobody saw yet, once all stories are over
    pictures: Path | None = None  # the folder for pictures of every page

    @property
    def stories(self) -> list[Story]:
        return [story for story in STORIES if story.short or not self.short]

    @property
    def ends(self) -> list[str]:
        """What must be reached, and opened as everybody."""
        if not self.short:
            return list(ENDS)
        return list(dict.fromkeys(end for story in self.stories for end in story.reaches))


class Walk:
    """One walk over one tree."""

    def __init__(self, tree: Path, folder: Path, plan: Plan) -> None:
        self.plan, self.folder, self.longest_wait = plan, folder, plan.longest_wait
        self.model, self.hooks = MessagesServer(model()), Webhook()
        self.signoff: Installation = installation(tree, folder / "home", **SETTINGS)
        self.hold = Hold(self.signoff)
        self.crawl = Crawl(plan.seed, FIRST)
        self.visitors: dict[str, Visitor] = {}
        self.token = ""
        self.faults: list[Fault] = []
        self.opened: Counter[tuple[str, str]] = Counter()  # route, role
        self.slowest: dict[str, float] = {}
        self.queries: dict[str, int] = {}
        self.seen_as: dict[str, set[str]] = defaultdict(set)  # end → roles
        self.passed: Counter[str] = Counter()  # stage as it stood in the database
        self.on_purpose: list[str] = []
        self.over, self.commands = threading.Event(), threading.Lock()
        self.catch, self.windows = Catch(self), Windows(self, Pictures(plan.pictures))
        self.whole: dict[str, str] = {}  # shapes of addresses that a browser can show, and their routes
        self.began = time.monotonic()

    # What stories ask for

    def visitor(self, role: str) -> Visitor:
        """Another window of the person with this role."""
        fresh = Visitor(self.signoff.url, role)
        for cookie in self.visitors[role].cookies:
            fresh.cookies.set_cookie(cookie)
        return fresh

    def covered(self, end: str) -> bool:
        """Whether an end was opened as every role."""
        return self.seen_as[end] >= set(ROLES)

    def explained(self, pattern: str) -> None:
        """A line of a log that a story brings about on purpose."""
        self.on_purpose.append(pattern)

    # The walk

    def run(self) -> None:
        """From set-up to the end; what went wrong is in `faults`."""
        projects = [project for project in PROJECTS if project.short or not self.plan.short]
        with self.model, webhook() as self.hooks:
            self.signoff.environment["SIGNOFF_WEBHOOK_HOSTS"] = f"127.0.0.1:{self.hooks.port}"
            if not self.plan.short:
                self.signoff.environment |= {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": self.model.url}
            self.walk(set_up(self.signoff, ROLES, projects, self.folder / "sources"))
        self.look_back()

    def walk(self, links: Mapping[str, str]) -> None:
        """From the start of the installation to its end."""
        self.signoff.start()
        try:
            self.sign_in(links)
            stories = [threading.Thread(target=self.tell, args=[story], daemon=True) for story in self.plan.stories]
            beside = [threading.Thread(target=work, daemon=True) for work in (self.catch.watch, self.windows.work)]
            for thread in (*beside, *stories):
                thread.start()
            self.open_all(stories)
            self.over.set()
            for thread in (*beside, *stories):
                thread.join(LONGEST)
        finally:
            self.over.set()
            self.signoff.end()

    def sign_in(self, links: Mapping[str, str]) -> None:
        for role in (*ROLES, ANYBODY):
            self.visitors[role] = Visitor(self.signoff.url, role)
            if role in links:
                self.visitors[role].sign_in(links[role])
        page = "/settings/tokens/"
        answer = self.visitors["operator"].send(page, page, name="walker")
        found = re.search(r"signoff_[\w-]{30,}", answer.text)
        assert found, f"no token was made: {answer.status}"
        self.token = found[0]

    def tell(self, story: Story) -> None:
        """One story, from its thread."""
        try:
            story.tell(Desk(self, story.project))
        except Exception as error:
            self.faults.append(Fault("story", story.name, f"{type(error).__name__}: {error}"))

    def open_all(self, threads: Sequence[threading.Thread]) -> None:
        """Open what is due until all stories are over and nothing is new, or until time is up."""
        database, calm_since = Database(self.signoff.home), 0.0
        while time.monotonic() - self.began < self.plan.limit:
            now = database.snapshot()
            self.passed.update({end for end in ENDS if ENDS[end].where(now)})
            self.cover(database, now)
            self.wish(now)
            due = self.crawl.due(now, ROLES, AT_ONCE)
            for target, role in due:
                self.open(target, role, now)
                self.catch.let_go(lambda name: self.cover_one(name, database))
            for target, _ in due[:1]:
                self.open(target, ANYBODY, now)
            if any(thread.is_alive() for thread in threads):
                continue
            calm_since = calm_since or time.monotonic()
            if self.nothing_new(now) or time.monotonic() - calm_since > self.plan.calm:
                return
        self.faults.append(Fault("time", "the walk", f"it was not over after {self.plan.limit:.0f} s"))

    def nothing_new(self, now: Snapshot) -> bool:
        """Whether everything was opened in its present state, as everybody."""
        due = self.crawl.due(now, ROLES, 1)
        return all(self.crawl.times(target, role, now) for target, role in due)

    def wish(self, now: Snapshot) -> None:
        """Hand the browser a page, where it waits for one."""
        if self.windows.wishes.full():
            return
        due = self.crawl.due(now, [BROWSER], AT_ONCE, lambda target: target.how == "page" and target.shape in self.whole)
        wishes = [
            Wish(target, self.crawl.chance.choice(ROLES), self.whole[target.shape], stage_of(target, now), worth(target, now))
            for target, _ in due
        ]
        if wishes:
            wish = max(wishes, key=lambda each: self.windows.pictures.gain(each.route, each.stage, each.worth))
            self.crawl.opened(wish.target, BROWSER, now)
            self.windows.wishes.put(wish)

    def cover(self, database: Database, now: Snapshot) -> None:
        """Open the pages of ends that last and that not everybody saw."""
        for name in self.plan.ends:
            if not ENDS[name].brief and not self.covered(name) and ENDS[name].where(now):
                self.cover_one(name, database)

    def cover_one(self, name: str, database: Database) -> None:
        """Open the newest page of an end as everybody."""
        if pages := ENDS[name].where(database.snapshot()):
            self.passed[name] += 1
            self.open_as_everybody(name, pages[-1], database)

    def open_as_everybody(self, name: str, page: str, database: Database) -> None:
        """The page of an end, its pulse, and that of its project; as each role that did not see it yet."""
        project = re.match(r"/projects/[^/]+/", page)
        for role in [role for role in ROLES if role not in self.seen_as[name]]:
            now = database.snapshot()
            answers = [self.open(Target(page, how, "a stage"), role, now) for how in ("page", "pulse")]
            if project and project[0] != page:
                answers.append(self.open(Target(project[0], "page", "a stage"), role, now))
            if page in ENDS[name].where(database.snapshot()) and all(a is not None and a.status in (200, 304) for a in answers):
                self.seen_as[name].add(role)

    def open(self, target: Target, role: str, now: Snapshot) -> Answer | None:
        """Open one address as one role, and look at the answer."""
        visitor = self.visitors[role]
        self.crawl.opened(target, role, now)
        try:
            answer = asked(visitor, target)
        except OSError as error:
            self.faults.append(Fault("no answer", target.address, f"as {role}: {error}"))
            return None
        self.note(answer, target)
        return answer

    def note(self, answer: Answer, target: Target) -> None:
        """Count it, learn where it leads, and keep what is wrong with it."""
        route = answer.route or target.shape
        self.opened[route, answer.role] += 1
        if answer.route:
            self.slowest[route] = max(self.slowest.get(route, 0.0), answer.seconds)
            self.queries[route] = max(self.queries.get(route, 0), answer.queries)
        if answer.role != ANYBODY:
            self.crawl.learn(answer)
            if answer.status == 200 and answer.kind == "text/html" and is_whole(answer.text):
                self.whole[target.shape] = answer.route
        if answer.status == 404 and self.is_gone(target, answer.role):
            self.crawl.drop(target)
            return
        self.faults += faults_of(answer, target)

    def is_gone(self, target: Target, role: str) -> bool:
        """Whether nothing leads to an address any more: the page that named it changed meanwhile."""
        if not target.found_on.startswith("/"):
            return False
        again = asked(self.visitors[role], Target(target.found_on, "page" if target.on_a_page else "part", "", target.shown_on))
        return target.address not in again.page.links | again.page.parts | again.page.files

    def look_back(self) -> None:
        """What was never reached, never opened, and what the logs tell."""
        for name in self.plan.ends:
            if not self.passed[name]:
                self.faults.append(Fault("never reached", name, "no candidate or project was ever there"))
            elif missing := [role for role in ROLES if role not in self.seen_as[name]]:
                self.faults.append(Fault("never opened", name, f"not as {', '.join(missing)}"))
        kinds: dict[str, list[logs.Line]] = defaultdict(list)
        for line in logs.troubles(self.signoff.home / "logs", self.signoff.output, self.on_purpose):
            kinds[line.kind].append(line)
        for lines in kinds.values():
            told = f"{len(lines)} times: {lines[0].text}\n{lines[0].following}"
            self.faults.append(Fault("log", lines[0].log, told))
        self.faults += strays(self.signoff)


def asked(visitor: Visitor, target: Target) -> Answer:
    """The answer to a request as a browser makes it."""
    if target.how == "pulse":
        return visitor.pulse(target.address)
    return visitor.piece(target.address, target.shown_on) if target.how == "part" else visitor.ask(target.address)
