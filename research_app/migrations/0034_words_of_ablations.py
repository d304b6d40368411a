from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("research_app", "0033_conversations_that_wait")]

    operations = [
        migrations.RenameModel("StackCheck", "Ablation"),
        migrations.RenameModel("StackCell", "DesignPoint"),
        migrations.AlterField(
            model_name="ablation",
            name="candidates",
            field=models.ManyToManyField(related_name="ablations", to="research_app.candidate"),
        ),
        migrations.AlterField(
            model_name="ablation",
            name="project",
            field=models.ForeignKey(on_delete=models.PROTECT, related_name="ablations", to="research_app.project"),
        ),
        migrations.AlterField(
            model_name="ablation",
            name="version",
            field=models.ForeignKey(on_delete=models.PROTECT, related_name="ablations", to="research_app.baselineversion"),
        ),
        migrations.AlterField(
            model_name="run",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("rejudge", "judge again before landing"),
                    ("bank", "reference run of the baseline"),
                    ("confirm", "confirmation"),
                    ("curve", "baseline at another budget"),
                    ("scale_up", "scale-up"),
                    ("stack", "ablation"),
                    ("replicate", "replication"),
                    ("screen", "screening"),
                    ("target", "time to the first baseline"),
                ],
                max_length=10,
            ),
        ),
    ]
