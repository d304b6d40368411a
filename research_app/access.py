"""Who may do what: the one place that says so. Pages, commands and the steps of the loop all ask here.

A role is a Django group of the same name; each role may do what the ones before it may. A new account is a viewer.
An administrator operates, and is neither reviewer nor approver by that alone. Only a signed-in person's session votes.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db.models import Q, QuerySet

if TYPE_CHECKING:
    from research_app.models import Gate, Project


class Role(StrEnum):
    """What a person may do at most, least first."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # steer the loop: pause, submit, reopen, retry, order the queues
    REVIEWER = "reviewer"  # comment, ask for changes, reject; approve where a gate's policy says so
    APPROVER = "approver"  # approve at every gate whose policy does not say otherwise

    def holds(self, other: "Role") -> bool:
        """True where this role includes the other one."""
        return ROLES.index(self) >= ROLES.index(other)


ROLES = tuple(Role)
FORMER_GROUP = "approvers"  # what the group of approvers was called before there were four roles


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role | None:
    """The highest role of a person as it is now; None for nobody, or somebody who was switched off. One query."""
    if not (user.is_authenticated and user.is_active and isinstance(user, User)):
        return None
    held = set(user.groups.filter(name__in=ROLES).values_list("name", flat=True))
    if user.is_superuser:
        held.add(Role.OPERATOR)
    return max((role for role in ROLES if role in held), key=ROLES.index, default=Role.VIEWER)


def _holds(user: AbstractBaseUser | AnonymousUser, role: Role) -> bool:
    held = role_of(user)
    return held is not None and held.holds(role)


def may_see(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Every signed-in person sees every project."""
    return bool(user.is_authenticated and user.is_active)


def may_operate(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Steer the loop: pause and resume, submit, revise and reopen candidates, stop and repeat runs. One query."""
    return _holds(user, Role.OPERATOR)


def may_review(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Write comments, ask for changes, reject. One query."""
    return _holds(user, Role.REVIEWER)


def may_vote(user: AbstractBaseUser | AnonymousUser, project: "Project", gate: "Gate") -> bool:
    """Approve at this gate of this project: somebody with one of the roles that its policy names. One query.

    Whether the policy lets them vote on one particular candidate is for loop/votes.py to say.
    """
    held = role_of(user)
    return held is not None and any(held.holds(Role(role)) for role in project.gate_policy(gate).roles)


def may_widen(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Let one candidate use more than the envelope allows, with a reason. One query."""
    return _holds(user, Role.APPROVER)


def people_with(roles: tuple[Role, ...] | list[Role]) -> QuerySet[User]:
    """Everybody who holds one of these roles, by name. A query set."""
    enough = [role for role in ROLES if any(role.holds(wanted) for wanted in roles)]
    everyone = User.objects.filter(is_active=True)
    if Role.VIEWER in enough:
        return everyone.order_by("username")
    named = Q(groups__name__in=enough)
    if Role.OPERATOR in enough:
        named |= Q(is_superuser=True)
    return everyone.filter(named).distinct().order_by("username")


def set_role(user: User, role: Role) -> None:
    """Give a person exactly this role. In a transaction."""
    user.groups.remove(*Group.objects.filter(name__in=[*ROLES, FORMER_GROUP]))
    user.groups.add(Group.objects.get_or_create(name=role)[0])


def make_roles() -> None:
    """The four groups, once; the group of approvers under its former name becomes the role."""
    former = Group.objects.filter(name=FORMER_GROUP).first()
    for role in ROLES:
        Group.objects.get_or_create(name=role)
    if former:
        Group.objects.get(name=Role.APPROVER).user_set.add(*former.user_set.all())
        former.delete()
