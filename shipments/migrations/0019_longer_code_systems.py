from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shipments", "0018_expired_logins")]
    operations = [
        # A longer varchar changes no row.
        migrations.AlterField(
            model_name="checkpoint",
            name="code_system",
            field=models.CharField(blank=True, max_length=32),
        ),
    ]
