"""The rows of exports and imports are the queue themselves: procrastinate has no part in it any more.

Its tables and the columns `job_id` stay: processes of the version before still use them while they are replaced.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exports', '0004_logistic_units'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField(model_name='export', name='job_id'),
                migrations.RemoveField(model_name='import', name='job_id'),
            ],
        ),
        migrations.AddField(
            model_name='export',
            name='interruptions',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='import',
            name='interruptions',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='export',
            name='retry_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='import',
            name='retry_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='import',
            name='start_audited',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
