"""A place of one organisation may have a UN/LOCODE, and keeps what was told beside it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shipments", "0024_names_in_one_form")]
    operations = [
        migrations.AddField(
            model_name="location",
            name="details",
            field=models.TextField(blank=True, db_default="", default="", editable=False),
        ),
        migrations.RemoveConstraint(model_name="location", name="location_locode_once"),
        migrations.RemoveConstraint(model_name="location", name="location_is_shared_or_owned"),
        migrations.AddConstraint(
            model_name="location",
            constraint=models.UniqueConstraint(
                condition=models.Q(("organization", None)), fields=("locode",), name="location_shared_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="location",
            constraint=models.CheckConstraint(
                condition=models.Q(("locode__isnull", False), ("organization__isnull", False), _connector="OR"),
                name="location_has_code_or_owner",
            ),
        ),
    ]
