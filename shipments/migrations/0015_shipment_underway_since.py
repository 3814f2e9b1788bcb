"""Since when a shipment has been under way with its driver: customers see no position from before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shipments", "0014_generation")]
    operations = [
        migrations.AddField(
            model_name="shipment",
            name="underway_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
