"""SECRET_KEY: from the environment, or generated once and kept in FREIGHT_HOME beside the embedded database."""

import secrets
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

_MIN_LENGTH: Final = 50


def fallback_keys(raw: str) -> list[str]:
    """Return the earlier keys of a list with commas; raises ValueError for one that is too short."""
    keys = [key.strip() for key in raw.split(",") if key.strip()]
    if any(len(key) < _MIN_LENGTH for key in keys):
        raise ValueError
    return keys


def secret_key(configured: str, *, home: Path, may_generate: bool) -> str:
    """Return the configured key, else the one in `home`, which is generated on first use.

    Raises ImproperlyConfigured where none is configured and none may be generated: with an external database
    several hosts have to share one key.
    """
    if configured:
        return configured
    if not may_generate:
        raise ImproperlyConfigured(
            "SECRET_KEY='' cannot be used: with DATABASE_URL set, give at least 50 random characters, "
            'for example from `python -c "import secrets; print(secrets.token_urlsafe(48))"`.'
        )
    key_file = home / "secret_key"
    if not key_file.exists():
        home.mkdir(parents=True, exist_ok=True)
        temporary = key_file.with_suffix(f".{secrets.token_hex(4)}")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_urlsafe(48))
        try:
            key_file.hardlink_to(temporary)  # atomic: two processes that start at once get the same key
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return key_file.read_text().strip()
