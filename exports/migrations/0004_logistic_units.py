from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exports', '0003_imports'),
    ]

    operations = [
        migrations.CreateModel(
            name='LogisticUnit',
            fields=[
                ('serial', models.BigAutoField(primary_key=True, serialize=False)),
                ('shipment_id', models.UUIDField(editable=False, unique=True)),
            ],
        ),
    ]
