"""A file has decimal marks in place of a decimal comma, and its import counts the rows with warnings.

The column `decimal_comma` stays: processes of the version before still write it while they are replaced. Of files
that they queue, both marks are looked for, and what can be read in two ways is refused.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exports', '0006_whose_turn_it_is'),
    ]

    operations = [
        migrations.AlterField(
            model_name='import',
            name='decimal_comma',
            field=models.BooleanField(db_default=False),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField(model_name='import', name='decimal_comma'),
            ],
        ),
        migrations.AddField(
            model_name='import',
            name='decimal_marks',
            field=models.CharField(db_default='.,', max_length=2),
        ),
        migrations.AddField(
            model_name='import',
            name='warned',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
