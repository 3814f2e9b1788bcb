"""Tables of exports and imports: runs (for statistics), background jobs, imported files and rows, SSCC serials."""

from django.db import models

from shipments.domain.identifiers import new_id


class Run(models.Model):
    """One export from start to end, for statistics over all processes; the audit records who exported what."""

    class Outcome(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization_id = models.UUIDField()
    report = models.CharField(max_length=16)
    format = models.CharField(max_length=8)
    outcome = models.CharField(max_length=9, choices=Outcome, default=Outcome.RUNNING)
    rows = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    # Whether the file came from the cache; NULL where the format has no cache.
    cached = models.BooleanField(null=True)
    started_at = models.DateTimeField()
    # Heartbeat: `fail_stale_batch` ends runs whose process was killed.
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # The background export of this run, if any.
    export_id = models.UUIDField(null=True)
    # The subject, for the audit entry of a run whose process was killed.
    actor = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["-started_at"], name="export_run_started"),
            models.Index(fields=["seen_at"], condition=models.Q(outcome="running"), name="export_run_open"),
        ]

    def __str__(self) -> str:
        return f"{self.report}.{self.format} {self.outcome}"


class LogisticUnit(models.Model):
    """The serial reference of a shipment's SSCC under the installation's own GS1 prefix, assigned once."""

    serial = models.BigAutoField(primary_key=True)
    shipment_id = models.UUIDField(unique=True, editable=False)

    def __str__(self) -> str:
        return str(self.serial)


class Job(models.Model):
    """A background job: the columns that exports and imports share."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization_id = models.UUIDField()
    # The user who created the job, and the API key used; their rights are checked again when the job runs.
    owner_id = models.UUIDField()
    key_id = models.UUIDField(null=True)
    # Of the creating request, for the audit.
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(null=True)
    # Incremented each time a worker claims the job; only the newest attempt may store a result.
    attempt = models.PositiveIntegerField(default=0)
    # Attempts that were ended by a lock, an outage or a restart; the next one begins at `retry_at` or later.
    interruptions = models.PositiveIntegerField(default=0, db_default=0)
    retry_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class Export(Job):
    """One background export: a worker writes it into a file, which is kept for `EXPORT_KEEP` seconds."""

    report = models.CharField(max_length=16)
    format = models.CharField(max_length=8)
    # Query parameters, names and texts as in a URL.
    filters = models.JSONField(default=dict)
    run_id = models.UUIDField(null=True)
    file = models.CharField(max_length=80, blank=True)
    size = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["owner_id", "-created_at"], name="export_of_owner"),
            models.Index(
                fields=["state"],
                condition=models.Q(state__in=["queued", "running", "succeeded"]),
                name="export_to_tend",
            ),
            # Whose last export started longest ago.
            models.Index(fields=["organization_id", "started_at"], name="export_by_organization"),
            models.Index(fields=["owner_id", "started_at"], name="export_by_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.report}.{self.format} {self.state}"


class Import(Job):
    """One uploaded file of shipments; `done` counts the rows whose outcome is stored."""

    filename = models.CharField(max_length=120, blank=True)
    kind = models.CharField(max_length=8)
    size = models.PositiveBigIntegerField()
    # Of the uploaded bytes.
    sha256 = models.CharField(max_length=64)
    header = models.JSONField()
    # "." or ",", or both where the file does not tell which of them begins the decimals.
    decimal_marks = models.CharField(max_length=2, db_default=".,")
    # Rows with warnings, whatever their outcome.
    warned = models.PositiveIntegerField(default=0, db_default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    start_audited = models.BooleanField(default=False, db_default=False)

    class Meta:
        indexes = [
            models.Index(fields=["owner_id", "-created_at"], name="import_of_owner"),
            models.Index(
                fields=["state"], condition=models.Q(state__in=["queued", "running"]), name="import_to_tend"
            ),
            models.Index(fields=["created_at"], name="import_to_forget"),
            models.Index(fields=["organization_id", "started_at"], name="import_by_organization"),
            models.Index(fields=["owner_id", "started_at"], name="import_by_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.filename} {self.state}"


class ImportedFile(models.Model):
    """The parsed and compressed rows of a file; deleted when the import ends."""

    import_id = models.UUIDField(primary_key=True, editable=False)
    packed = models.BinaryField()

    def __str__(self) -> str:
        return str(self.import_id)


class ImportedRow(models.Model):
    """The outcome of one row, committed in the transaction that changed the shipment."""

    import_id = models.UUIDField()
    row = models.PositiveIntegerField()
    reference = models.CharField(max_length=200)
    outcome = models.CharField(max_length=9)
    changed = models.JSONField(default=list)
    errors = models.JSONField(default=list)
    warnings = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["import_id", "row"], name="import_row_once")]

    def __str__(self) -> str:
        return f"{self.row}: {self.outcome}"
