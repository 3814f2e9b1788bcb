"""The secret key: given by the environment, or made once and kept where the embedded database lives."""

import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def secret_key(given: str, *, home: Path, may_generate: bool) -> str:
    """This will return the key that was given, else the one kept in `home`, made on first use.

    Raises ImproperlyConfigured where none is given and none may be generated (an external database:
    several hosts must then share one key).
    """
    if given:
        return given
    if not may_generate:
        raise ImproperlyConfigured(
            "SECRET_KEY='' cannot be used: with DATABASE_URL set, give at least 50 random characters, "
            'for example from `python -c "import secrets; print(secrets.token_urlsafe(48))"`.'
        )
    kept = home / "secret_key"
    if not kept.exists():
        home.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48))
        try:
            kept.hardlink_to(fresh)  # atomic: of two that start at once, one key wins for both
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return kept.read_text().strip()
