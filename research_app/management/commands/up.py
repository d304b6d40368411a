"""`manage.py up`: set this machine up and keep its services running."""

import http.client
import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from research_app import environment, set_up
from research_app.home import broker_url, home
from research_app.loop.propose.conversation.converse import join_rounds
from research_app.loop.propose.registered import default_proposers
from research_app.machine import broker
from research_app.machine.fleet import UnknownDevice, local_devices
from research_app.machine.services import MANAGE, PYTHON, broker_service, services
from research_app.machine.supervisor import Child, Service, Supervisor, die_with_parent, raise_on_signals, tail
from research_app.models import Project

DEMO = "demo"
PAGES_WITHIN = 30.0  # seconds


class Command(BaseCommand):
    help = "Set up and run everything: broker, web server, workers, reconciler"
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", metavar="N", help="port of the web server (environment: PORT)")
        parser.add_argument("--listen", metavar="ADDRESS", help="address to listen on (environment: SIGNOFF_LISTEN)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until Ctrl-C or SIGTERM. Raises CommandError with what to do where it cannot start."""
        begin_again({"PORT": options["port"], "SIGNOFF_LISTEN": options["listen"]})
        raise_on_signals()
        if psutil.Process(os.getppid()).name() in ("make", "gmake"):
            die_with_parent(os.getppid())  # a killed `make up` must not leave us without a terminal
        try:
            set_up.require_space()
            for name, fix in environment.unread().items():
                self.say(f"  Nothing reads the variable {name}. {fix}")
            with set_up.hold_home(settings.SITE_URL), set_up.listen(settings.LISTEN, settings.PORT) as listener:
                self.supervise(listener)
        except (set_up.SetUpRefused, broker.BrokerDown, UnknownDevice, OSError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.say("Stopped.")

    def supervise(self, listener: socket.socket) -> None:
        """Start everything, say where it is, and look after it. Always stops what it started."""
        supervisor = Supervisor(home() / "logs", self.say)
        try:
            devices = local_devices()
            self.start_broker(supervisor)
            password, demo_wanted = self.prepare()
            web, *_ = [supervisor.start(service) for service in services(listener, devices)]
            demo = supervisor.start_once(create_demo()) if demo_wanted else None
            self.wait_for_pages(supervisor, web, listener)
            if demo:
                self.finish_demo(supervisor, demo)
            self.greet(password)
            supervisor.run()
        except KeyboardInterrupt:
            self.say("Stopping …")
            raise
        finally:
            supervisor.stop()

    def start_broker(self, supervisor: Supervisor) -> None:
        """Start the embedded broker, or make sure that the one of REDIS_URL answers. Raises BrokerDown."""
        if not broker.is_embedded():
            state = broker.state()
            self.say(f"  {'broker':<14} {state.version} at {broker.address(broker_url())}")
            return
        child = supervisor.start(broker_service())
        try:
            broker.wait_until_ready(lambda: child.running)
        except broker.BrokerDown as error:
            raise broker.BrokerDown("\n".join([str(error), *tail(child.log)])) from error

    def prepare(self) -> tuple[str | None, bool]:
        """Tables, static files, the first person: a new password, and whether the demo project is wanted."""
        set_up.migrate()
        if set_up.collect_static():
            self.say("  static files collected")
        password = set_up.first_admin()
        demo_wanted = not Project.objects.exists()
        if join_rounds():
            self.say("  ANTHROPIC_API_KEY is set: open-ended rounds ask claude too")
        set_up.let_go_of_database()
        return password, demo_wanted

    def wait_for_pages(self, supervisor: Supervisor, web: Child, listener: socket.socket) -> None:
        """Go on once the web server answers, or say where to look when it takes long."""
        late = time.monotonic() + PAGES_WITHIN
        supervisor.run(until=lambda: answers(listener) or time.monotonic() > late)
        if time.monotonic() > late:
            self.say(f"The web server does not answer {settings.SITE_URL}/healthz. The end of {web.log}:")
            self.say("\n".join(f"    {line}" for line in tail(web.log)))

    def finish_demo(self, supervisor: Supervisor, demo: Child) -> None:
        """Wait for the first project; without it everything else still works."""
        supervisor.run(until=lambda: not demo.running)
        if demo.process and demo.process.returncode:
            self.say(f"The project {DEMO!r} could not be created. Try: manage.py project create {DEMO}. It said:")
            self.say("\n".join(f"    {line}" for line in tail(demo.log)))

    def greet(self, password: str | None) -> None:
        """Say where Signoff is and how to get in."""
        link = set_up.sign_in_link()
        set_up.let_go_of_database()
        self.say(f"\nSignoff is at {settings.SITE_URL}")
        if password:
            self.say(f"First start: user {set_up.ADMIN}, password {password} (shown once; manage.py changepassword admin)")
        if link:
            self.say(f"Sign in once, within 12 hours: {link}")
        else:
            self.say("Nobody may administer: run manage.py createsuperuser")
        self.say("Ctrl-C stops it.\n")

    def say(self, line: str) -> None:
        """Tell whoever looks; when nobody can any more (closed terminal or pipe), the services matter more."""
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:
            self.stdout = open(os.devnull, "w")  # type: ignore[assignment]  # noqa: SIM115


def begin_again(chosen: Mapping[str, str | None]) -> None:
    """Where the command line says something else than the environment, begin again with it: settings are read at the start."""
    overridden = {name: value for name, value in chosen.items() if value is not None and value != os.environ.get(name)}
    if overridden:
        os.execve(PYTHON, [PYTHON, *sys.argv], os.environ | overridden)


def create_demo() -> Service:
    """The one-time task that makes the first project."""
    proposers = ",".join(default_proposers(paid=True))
    return Service("demo", "first project", [PYTHON, MANAGE, "project", "create", DEMO, "--propose", proposers])


def answers(listener: socket.socket) -> bool:
    """True once the web server answers for /healthz, whatever it finds."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    request = http.client.HTTPConnection(host, port, timeout=1.0)
    try:
        request.request("GET", "/healthz", headers={"Host": urlsplit(settings.SITE_URL).netloc})
        return request.getresponse().status in (200, 503)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        request.close()
