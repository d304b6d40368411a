"""Each notification was a message of its own; now a delivery carries it. What waited to be sent is gathered, as it is from now on."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from research_app.models.notification import new_secret


def carry(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """A delivery for each earlier message; one for all that wait for a person by one channel."""
    notifications = apps.get_model("research_app", "Notification").objects
    deliveries = apps.get_model("research_app", "Delivery").objects
    waiting = {}
    for row in notifications.filter(delivery=None).order_by("pk").iterator():
        occasion = "digest" if row.digest else "at_once"
        key = row.user_id, row.channel, occasion
        state = "unknown" if row.state == "sending" else row.state
        delivery = waiting.get(key) if state == "waiting" else None
        if delivery is None:
            delivery = deliveries.create(
                user_id=row.user_id,
                channel=row.channel,
                occasion=occasion,
                state=state,
                due_at=row.due_at,
                opened_at=row.due_at,
                left_at=row.sent_at,
                last_error=row.last_error,
                attempts=row.attempts,
                told=1 if state in ("sent", "unknown", "given_up") else 0,
            )
        if state == "waiting":
            waiting[key] = delivery
        notifications.filter(pk=row.pk).update(delivery=delivery, passed=state == "passed")
    settings = apps.get_model("research_app", "NotificationSettings").objects
    for row in settings.all():  # the default of the new column was made once, for all rows
        settings.filter(pk=row.pk).update(webhook_secret=new_secret())


class Migration(migrations.Migration):
    dependencies = [("research_app", "0005_deliveries")]
    operations = [migrations.RunPython(carry, migrations.RunPython.noop)]
