"""Who looks at the pages."""

import pytest
from django.test import Client

from tests.factories import make_user


@pytest.fixture
def client(db: None) -> Client:
    """Somebody who is signed in as ada, an approver."""
    client = Client()
    client.force_login(make_user("ada"))
    return client
