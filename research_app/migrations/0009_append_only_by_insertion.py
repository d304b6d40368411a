"""A trigger that refuses every event but the one that follows the last."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from research_app.models import append_only


def install(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(editor.connection)


class Migration(migrations.Migration):
    dependencies = [("research_app", "0008_evidence_says_harm")]

    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
