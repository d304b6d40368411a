"""Landings that a revert took back before this was kept: written down in the order in which the reverts landed."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def note(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """As research_app/loop/land/undone.py does it when a revert lands."""
    candidates = apps.get_model("research_app", "Candidate").objects
    landings = apps.get_model("research_app", "Landing").objects.filter(state="landed", version__isnull=False)
    reverts = landings.filter(candidate__kind="revert", candidate__reverts__isnull=False).order_by("version__number")
    for landing in reverts.select_related("candidate", "version"):
        brought = list(landings.filter(version_id=landing.candidate.reverts_id).values_list("candidate_id", flat=True))
        brought += candidates.filter(stacks__in=brought, stage="landed").values_list("pk", flat=True)
        how = f" Taken back by C-{landing.candidate.number}, as baseline {landing.version.number}."
        for row in candidates.filter(pk__in=brought, stage="landed"):
            candidates.filter(pk=row.pk).update(undone_by=landing.version, why=row.why + how)
        candidates.filter(undone_by=landing.candidate.reverts_id).update(undone_by=None)


class Migration(migrations.Migration):
    dependencies = [("research_app", "0012_landings_taken_back")]
    operations = [migrations.RunPython(note, migrations.RunPython.noop)]
