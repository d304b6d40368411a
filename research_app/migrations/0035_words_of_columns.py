from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("research_app", "0034_words_of_ablations")]

    operations = [
        migrations.RenameField("delivery", "told", "candidate_count"),
        migrations.RenameField("keptanswer", "asked", "request_hash"),
        migrations.AlterField(
            model_name='conversation',
            name='about',
            field=models.ManyToManyField(help_text='What it reworks or combines', related_name='conversations_about', to='research_app.candidate'),
        ),
        migrations.AlterField(
            model_name='conversation',
            name='purpose',
            field=models.CharField(choices=[('propose', 'a new change'), ('revive', 'an earlier change, reworked'), ('combine', 'several changes, combined')], default='propose', max_length=10),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='state',
            field=models.CharField(choices=[('waiting', 'waits to be sent'), ('sending', 'is being sent'), ('sent', 'sent'), ('passed', "not sent: it was nobody's turn any more"), ('unknown', 'may have been sent'), ('given_up', 'failed')], default='waiting', max_length=10),
        ),
    ]
