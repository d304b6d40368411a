"""Triggers that make the audit log append-only, and the groups that say who may do what."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from research_app.models import append_only


def install(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(editor.connection)


def remove(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    append_only.remove(editor.connection)


def make_groups(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for name in ("viewer", "operator", "reviewer", "approver"):
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("research_app", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.RunPython(install, remove),
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
