"""Who may do what: the one place that says so. Pages, commands and the steps of the loop all ask here."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

APPROVERS = "approvers"


def may_see(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Every signed-in person sees every project."""
    return bool(user.is_authenticated and user.is_active)


def may_operate(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Pause and resume, submit and reopen candidates: every signed-in person."""
    return may_see(user)


def may_vote(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Votes at a gate: members of the group `approvers`. An administrator is none by that alone. One query."""
    return may_see(user) and isinstance(user, User) and user.groups.filter(name=APPROVERS).exists()
