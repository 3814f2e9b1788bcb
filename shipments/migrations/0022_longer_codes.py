from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shipments", "0021_look_up_references")]
    operations = [
        # A longer varchar changes no row.
        migrations.AlterField(
            model_name="checkpoint",
            name="code",
            field=models.CharField(blank=True, help_text="The carrier's code, verbatim.", max_length=64),
        ),
    ]
