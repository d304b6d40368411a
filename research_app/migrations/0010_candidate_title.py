"""Every candidate gets a title; older ones have theirs cut from the hypothesis."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from agent.title import MOST, title_of


def cut_titles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    candidates = apps.get_model("research_app", "Candidate").objects
    for row in candidates.filter(title="").only("pk", "hypothesis").iterator(chunk_size=500):
        candidates.filter(pk=row.pk).update(title=title_of(row.hypothesis))


class Migration(migrations.Migration):
    dependencies = [("research_app", "0009_append_only_by_insertion")]

    operations = [
        migrations.AddField(
            model_name="candidate",
            name="title",
            field=models.CharField(
                default="", help_text="The change in one line; cut from the hypothesis where none was given", max_length=MOST
            ),
            preserve_default=False,
        ),
        migrations.RunPython(cut_titles, migrations.RunPython.noop),
    ]
