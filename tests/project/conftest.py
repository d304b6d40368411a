"""What tests of projects share: the operator who brings one, signed in."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import make_user


@pytest.fixture
def ada() -> User:
    return make_user("ada", role="operator")


@pytest.fixture
def client(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client
