"""What was measured later against a landing's gain is called its contradictions. The column is renamed; nothing is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("research_app", "0027_messages_of_conversations")]

    operations = [
        migrations.RenameField("landing", "doubt", "contradictions"),
        migrations.AlterField(
            "evidence",
            "quarantined",
            models.BooleanField(
                default=False, help_text="A question about its health that only a person can clear: approving it needs a reason"
            ),
        ),
    ]
