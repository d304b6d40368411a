"""What people want of each channel becomes a row a channel, so that a new channel needs no column."""

import django.db.models.deletion
from django.db import migrations, models

import research_app.models.notification

PACES = [("off", "never"), ("at_once", "at once"), ("digest", "once a day")]


def to_rows(apps, schema_editor):
    rows = apps.get_model("research_app", "ChannelSettings").objects
    for wishes in apps.get_model("research_app", "NotificationSettings").objects.iterator():
        rows.create(wishes=wishes, channel="email", pace=wishes.email)
        rows.create(
            wishes=wishes, channel="webhook", pace=wishes.webhook, address=wishes.webhook_url, secret=wishes.webhook_secret
        )


def to_columns(apps, schema_editor):
    people = apps.get_model("research_app", "NotificationSettings").objects
    for row in apps.get_model("research_app", "ChannelSettings").objects.iterator():
        if row.channel == "email":
            people.filter(pk=row.wishes_id).update(email=row.pace)
        elif row.channel == "webhook":
            people.filter(pk=row.wishes_id).update(
                webhook=row.pace, webhook_url=row.address, webhook_secret=row.secret
            )


class Migration(migrations.Migration):

    dependencies = [("research_app", "0029_later")]

    operations = [
        migrations.CreateModel(
            name="ChannelSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.CharField(help_text="Name of one of research_app/loop/notify/channels/", max_length=30)),
                ("pace", models.CharField(choices=PACES, default="off", max_length=10)),
                ("address", models.CharField(blank=True, help_text="Where messages go, unless the account says it", max_length=1000)),
                ("secret", models.CharField(default=research_app.models.notification.new_secret, help_text="Signs what is sent, where the channel signs", max_length=100)),
                ("wishes", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="channels", to="research_app.notificationsettings")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("wishes", "channel"), name="one_setting_a_channel")],
            },
        ),
        migrations.RunPython(to_rows, to_columns),
        migrations.RemoveField(model_name="notificationsettings", name="email"),
        migrations.RemoveField(model_name="notificationsettings", name="webhook"),
        migrations.RemoveField(model_name="notificationsettings", name="webhook_secret"),
        migrations.RemoveField(model_name="notificationsettings", name="webhook_url"),
        migrations.AlterField(
            model_name="delivery",
            name="channel",
            field=models.CharField(help_text="Name of one of research_app/loop/notify/channels/", max_length=30),
        ),
        migrations.AlterField(model_name="notification", name="channel", field=models.CharField(max_length=30)),
    ]
