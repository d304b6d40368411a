"""What each role includes, and who is given one."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.management import CommandError, call_command

from research_app.access import Role, make_roles, may_operate, may_review, may_see, may_vote, people_with, role_of, set_role
from research_app.models import Event, Gate, Project, SignInLink
from tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db
ROW = (may_see, may_operate, may_review)


@pytest.fixture
def project() -> Project:
    return make_project(gate={"baseline": {"roles": ["approver"]}, "shortlist": {"roles": ["reviewer"]}})


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("viewer", (True, False, False, False, False)),
        ("operator", (True, True, False, False, False)),
        ("reviewer", (True, True, True, True, False)),
        ("approver", (True, True, True, True, True)),
    ],
)
def test_each_role_may_do_what_the_ones_before_it_may(project: Project, role: str, expected: tuple[bool, ...]) -> None:
    user = make_user(role=role)
    votes = [may_vote(user, project, gate) for gate in (Gate.SHORTLIST, Gate.BASELINE)]
    assert (*[may(user) for may in ROW], *votes) == expected


def test_an_account_without_a_group_is_a_viewer() -> None:
    assert role_of(make_user(approver=False)) == Role.VIEWER


def test_an_administrator_operates_and_neither_reviews_nor_votes_by_that_alone(project: Project) -> None:
    root = make_user("root", approver=False, is_superuser=True)
    assert role_of(root) == Role.OPERATOR
    assert not may_review(root) and not may_vote(root, project, Gate.BASELINE)
    set_role(root, Role.APPROVER)
    assert may_vote(root, project, Gate.BASELINE)


def test_nobody_and_a_person_who_was_switched_off_may_nothing(project: Project) -> None:
    away = make_user(is_active=False)
    for user in (AnonymousUser(), away):
        assert role_of(user) is None
        assert not any(may(user) for may in ROW)
        assert not may_vote(user, project, Gate.BASELINE)


def test_a_role_is_what_it_is_now_not_what_it_was_when_the_person_signed_in(project: Project) -> None:
    user = make_user()
    assert may_vote(user, project, Gate.BASELINE)
    set_role(User.objects.get(pk=user.pk), Role.VIEWER)
    assert not may_vote(user, project, Gate.BASELINE)


def test_the_people_with_a_role_are_those_who_hold_it_or_a_higher_one() -> None:
    for role in Role:
        make_user(role, role=role)
    make_user("gone", is_active=False)
    make_user("root", approver=False, is_superuser=True)
    assert [user.username for user in people_with([Role.REVIEWER])] == ["approver", "reviewer"]
    assert [user.username for user in people_with([Role.OPERATOR])] == ["approver", "operator", "reviewer", "root"]
    assert people_with([Role.VIEWER]).count() == 5


def test_the_group_of_approvers_under_its_former_name_becomes_the_role() -> None:
    old = Group.objects.create(name="approvers")
    user = make_user(approver=False)
    user.groups.add(old)
    make_roles()
    make_roles()
    assert role_of(user) == Role.APPROVER
    assert set(Group.objects.values_list("name", flat=True)) == set(Role)


def test_an_account_is_made_with_a_role_and_a_link_that_signs_in_once(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("person", "create", "lin", "--role", "reviewer", "--email", "lin@example.org")
    person = User.objects.get(username="lin")
    assert role_of(person) == Role.REVIEWER and not person.has_usable_password()
    said = capsys.readouterr().out
    assert "lin is a reviewer." in said
    token = said.rstrip().rstrip("/").rpartition("/")[2]
    link = SignInLink.redeem(token)
    assert link and link.user == person
    assert Event.objects.get(kind="person added").data == {"name": "lin", "role": "reviewer"}


def test_roles_are_given_and_taken_and_the_log_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    make_user("ada")
    call_command("person", "role", "ada", "operator")
    event = Event.objects.get(kind="role given")
    assert event.data == {"name": "ada", "role": "operator", "before": "approver"}
    call_command("person", "list")
    assert "ada\toperator" in capsys.readouterr().out


def test_taking_a_role_warns_of_gates_that_nobody_can_pass_now(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    make_user("ada")
    call_command("person", "off", "ada")
    said = capsys.readouterr().err
    assert "Project demo: [gate.baseline] wants 1 approval by people with the role approver, but nobody has it" in said


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["role", "bob", "viewer"], "There is no person 'bob'; there are: ada."),
        (["create", "ada"], "already exists"),
        (["create", "no spaces please"], "valid username"),
        (["create", "eve", "--email", "nowhere"], "valid email"),
        (["create", "eve", "--role", "king"], "invalid choice"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(words: list[str], error: str) -> None:
    make_user("ada")
    with pytest.raises(CommandError, match=error):
        call_command("person", *words)
