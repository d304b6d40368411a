"""`manage.py person create|role|list|link|off|on`: who may sign in, and what each may do."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email
from django.db import transaction

from research_app.access import ROLES, Role, role_of, set_role
from research_app.home import running
from research_app.loop.review.votes import unsatisfiable
from research_app.management.base import SignoffCommand
from research_app.models import Event, Project, SignInLink
from research_app.models.event_kinds import EventKind
from research_app.wording import with_article

ACTOR = "command line"


class Command(SignoffCommand):
    help = "Manage accounts and roles. Votes are cast in the browser only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="create an account and print a one-time sign-in link")
        create.add_argument("name", help="name of the account")
        create.add_argument("--email", default="", help="for notifications")
        create.add_argument("--role", choices=ROLES, default=Role.VIEWER, help="default: viewer")
        role = verbs.add_parser("role", help="set the role of an account")
        role.add_argument("name", help="name of the account")
        role.add_argument("role", choices=ROLES, help="the most that the account may do")
        verbs.add_parser("list", help="list all accounts with their roles")
        for verb, words in (
            ("link", "print a new one-time sign-in link"),
            ("off", "deactivate an account: it cannot sign in, and its votes no longer count"),
            ("on", "reactivate an account"),
        ):
            verbs.add_parser(verb, help=words).add_argument("name", help="name of the account")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["verb"])(options)

    def find(self, name: str) -> User:
        try:
            return User.objects.get(username=name)
        except User.DoesNotExist:
            known = ", ".join(User.objects.order_by("username").values_list("username", flat=True)[:30]) or "nobody yet"
            raise CommandError(f"There is no person {name!r}; there are: {known}.") from None

    def create(self, options: dict[str, Any]) -> None:
        person = User(username=options["name"], email=options["email"])
        person.set_unusable_password()
        try:
            person.full_clean()
            if options["email"]:
                validate_email(options["email"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        with transaction.atomic():
            person.save()
            set_role(person, Role(options["role"]))
            Event.objects.record(EventKind.PERSON_ADDED, person, ACTOR, None, name=person.username, role=options["role"])
        self.stdout.write(f"{person.username} is {with_article(options['role'])}.")
        self.link(options)

    def role(self, options: dict[str, Any]) -> None:
        person, role = self.find(options["name"]), Role(options["role"])
        with transaction.atomic():
            before = role_of(person)
            set_role(person, role)
            Event.objects.record(EventKind.ROLE_GIVEN, person, ACTOR, None, name=person.username, role=role, before=before)
        self.stdout.write(f"{person.username} is {with_article(str(role_of(person) or role))} now.")
        self.warn()

    def list(self, options: dict[str, Any]) -> None:
        for person in User.objects.order_by("username"):
            marks = [str(role_of(person) or "switched off"), *(["administrator"] if person.is_superuser else [])]
            self.stdout.write("\t".join([person.username, ", ".join(marks), person.email]))

    def link(self, options: dict[str, Any]) -> None:
        person = self.find(options["name"])
        if not person.is_active:
            raise CommandError(f"{person.username} is switched off. First: manage.py person on {person.username}")
        self.stdout.write(f"Sign in once, within 12 hours: {settings.SITE_URL}/sign-in/{SignInLink.make(person)}/")
        if not running().get("address"):
            self.stderr.write("Signoff does not run in this home at the moment: the link opens once it runs at that address.")

    def off(self, options: dict[str, Any]) -> None:
        self.switch(self.find(options["name"]), False)

    def on(self, options: dict[str, Any]) -> None:
        self.switch(self.find(options["name"]), True)

    def switch(self, person: User, active: bool) -> None:
        with transaction.atomic():
            User.objects.filter(pk=person.pk).update(is_active=active)
            kind = EventKind.PERSON_SWITCHED_ON if active else EventKind.PERSON_SWITCHED_OFF
            Event.objects.record(kind, person, ACTOR, None, name=person.username)
        self.stdout.write(f"{person.username} may {'sign in again' if active else 'no longer sign in'}.")
        self.warn()

    def warn(self) -> None:
        """Say which gates nobody could pass any more with the people that are left."""
        for project in Project.objects.order_by("slug"):
            for problem in unsatisfiable(project.file.gate):
                self.stderr.write(f"Project {project.slug}: {problem}")
