"""The world of this folder, made once for each of its files, and who asks in it."""

import shutil
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from research_app.api import auth
from research_app.models import Project
from research_app.web.project import progress
from research_app.web.shared import stats_cache
from tests.outside import token_for
from tests.routes.asking import Askers
from tests.routes.hostile import set_aside
from tests.routes.known import By
from tests.routes.world import make_world


@pytest.fixture(scope="module")
def project(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Project]:
    """The world; everything is taken back at the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_world()
        transaction.set_rollback(True)


@pytest.fixture
def askers(project: Project, nothing_stays: None, request: pytest.FixtureRequest) -> Iterator[Askers]:
    """Who asks, with the headers that each sends: somebody who may do everything, and an agent with that person's token."""
    ada = User.objects.get(username="ada")
    signed_in = Client()
    signed_in.force_login(ada)
    token = {"Authorization": f"Bearer {token_for(ada)}"}
    yield {By.SESSION: (signed_in, {}), By.TOKEN: (Client(), token), By.GIT: (Client(), token)}
    if "sign-out" not in request.node.name:
        assert signed_in.get("/fleet/").status_code == 200, "ada was signed out on the way: nothing was tested"


@pytest.fixture(autouse=True)
def nothing_stays(project: Project, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test finds the world as it was made, and no figure in memory."""
    for throttle in (auth.READING, auth.SUBMITTING):
        monkeypatch.setattr(throttle, "most", 10**9)
    stats_cache._kept.clear()
    progress._paths.clear()
    yield
    if (aside := set_aside(project)).exists():
        shutil.rmtree(project.folder, ignore_errors=True)
        aside.rename(project.folder)
    project.refresh_from_db()
