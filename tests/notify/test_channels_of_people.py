"""What people wanted of e-mail and webhook before channels had rows is theirs afterwards, and on the way back."""

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

APP = "research_app"


def migrate(name: str) -> Apps:
    executor = MigrationExecutor(connection)
    executor.migrate([(APP, name)])
    return MigrationExecutor(connection).loader.project_state([(APP, name)]).apps


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_wishes_become_rows_and_columns_again() -> None:
    leaf = max(name for app, name in MigrationExecutor(connection).loader.graph.leaf_nodes() if app == APP)
    try:
        before = migrate("0029_later")
        user = before.get_model("auth", "User").objects.create(username="ada")
        wanted = {"email": "digest", "webhook": "at_once", "webhook_url": "https://example.org/x", "webhook_secret": "whsec_x"}
        before.get_model(APP, "NotificationSettings").objects.create(user=user, **wanted)
        rows = migrate("0030_channels_of_people").get_model(APP, "ChannelSettings").objects.order_by("channel")
        columns = rows.values_list("channel", "pace", "address")
        assert list(columns) == [("email", "digest", ""), ("webhook", "at_once", "https://example.org/x")]
        assert rows.get(channel="webhook").secret == "whsec_x"
        again = migrate("0029_later").get_model(APP, "NotificationSettings").objects.values(*wanted).get()
        assert again == wanted
    finally:
        migrate(leaf)
