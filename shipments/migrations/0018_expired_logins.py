from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shipments", "0017_refreshed_from")]
    operations = [
        AddIndexConcurrently(
            model_name="refreshfamily",
            index=models.Index(fields=["expires_at"], name="refresh_family_expired"),
        ),
    ]
