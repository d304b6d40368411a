"""Guards that fail, and quarantine, in columns of evidence; evidence of earlier versions is read for them."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def read_numbers(apps: Apps, schema: BaseDatabaseSchemaEditor) -> None:
    """Fill the columns from the frozen numbers, which stay as they are."""
    for evidence in apps.get_model("research_app", "Evidence").objects.only("numbers").iterator(chunk_size=200):
        numbers = evidence.numbers
        failed = [f"{row['metric'].replace('_', ' ')} beyond its margin" for row in _exceeded(numbers.get("guards"))]
        failed += [
            f"worse on {row['source']} beyond its margin" for row in _exceeded((numbers.get("sources") or {}).get("rows"))
        ]
        quarantined = (numbers.get("health") or {}).get("state") == "quarantined"
        if failed or quarantined:
            type(evidence).objects.filter(pk=evidence.pk).update(failed_guards=failed, quarantined=quarantined)


def _exceeded(rows: list[dict[str, str]] | None) -> list[dict[str, str]]:
    return [row for row in rows or [] if row.get("status") == "exceeded"]


class Migration(migrations.Migration):
    dependencies = [("research_app", "0013_what_was_taken_back")]

    operations = [
        migrations.AddField(
            model_name="evidence",
            name="failed_guards",
            field=models.JSONField(default=list, help_text="What it makes worse than the margins allow, a sentence each"),
        ),
        migrations.AddField(
            model_name="evidence",
            name="quarantined",
            field=models.BooleanField(
                default=False, help_text="A doubt about its health that only a person can clear: approving it needs a reason"
            ),
        ),
        migrations.RunPython(read_numbers, migrations.RunPython.noop),
    ]
