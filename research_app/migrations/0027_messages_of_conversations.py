"""What one side of a conversation said is called a message. The table is renamed; its rows stay."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("research_app", "0026_trials")]

    operations = [
        migrations.RenameModel("Utterance", "ConversationMessage"),
        migrations.AlterField(
            "conversationmessage",
            "conversation",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="research_app.conversation"
            ),
        ),
    ]
