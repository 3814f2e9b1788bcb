from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('exports', '0005_the_jobs_are_the_queue'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='export',
            index=models.Index(fields=['organization_id', 'started_at'], name='export_by_organization'),
        ),
        AddIndexConcurrently(
            model_name='export',
            index=models.Index(fields=['owner_id', 'started_at'], name='export_by_owner'),
        ),
        AddIndexConcurrently(
            model_name='import',
            index=models.Index(fields=['organization_id', 'started_at'], name='import_by_organization'),
        ),
        AddIndexConcurrently(
            model_name='import',
            index=models.Index(fields=['owner_id', 'started_at'], name='import_by_owner'),
        ),
    ]
