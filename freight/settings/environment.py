"""Typed readers of environment variables; InvalidVariable names the variable, its bad value and a hint.

Every variable is declared once, by the call that reads it; `variables` registers them, and a test holds
`docs/settings.md` against it. Surrounding white space is ignored and an empty value means unset.
Why no library reads them: docs/decisions/0044-settings-are-read-by-our-own-readers.md.
"""

import importlib.util
import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Variable:
    """A declared variable: its name, its purpose, and its default as a person would write it."""

    name: str
    purpose: str
    default: str


variables: dict[str, Variable] = {}


class InvalidVariable(ImproperlyConfigured):
    """An environment variable has a value that cannot be used; the hint says which values can."""

    def __init__(self, name: str, value: str, hint: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: {hint}")


def read(name: str, default: T, parse: Callable[[str], T], *, hint: str, purpose: str, secret: bool = False) -> T:
    """Declare a variable and return its parsed value, or the default where it is unset or empty.

    `parse` raises ValueError for a bad value, which becomes InvalidVariable; `secret` keeps the value out of it.
    """
    default_text = ",".join(map(str, default)) if isinstance(default, list) else str(default)
    variables[name] = Variable(name, purpose, "" if default is None else default_text)
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except ValueError as error:
        raise InvalidVariable(name, "***" if secret else raw, hint) from error


def is_set(*names: str) -> bool:
    """Return whether any of the variables has a value."""
    return any(os.environ.get(name, "").strip() for name in names)


def text(name: str, default: str, *, purpose: str, secret: bool = False, minimum: int = 0) -> str:
    """Return a string of at least `minimum` characters."""

    def parse(raw: str) -> str:
        if len(raw) < minimum:
            raise ValueError
        return raw

    return read(name, default, parse, purpose=purpose, secret=secret, hint=f"give at least {minimum} characters.")


def integer(name: str, default: int, *, purpose: str, low: int = 0, high: int = 2**31 - 1) -> int:
    """Return a whole number between `low` and `high`, both included."""

    def parse(raw: str) -> int:
        number = int(raw)
        if not low <= number <= high:
            raise ValueError
        return number

    return read(name, default, parse, purpose=purpose, hint=f"give a whole number from {low} to {high}.")


def boolean(name: str, *, default: bool, purpose: str) -> bool:
    """Return True for 1/true/yes/on and False for 0/false/no/off."""

    def parse(raw: str) -> bool:
        if raw.lower() in _TRUE:
            return True
        if raw.lower() in _FALSE:
            return False
        raise ValueError

    return read(name, default, parse, purpose=purpose, hint="give 1 or 0.")


def choice(name: str, default: str, options: list[str], *, purpose: str) -> str:
    """Return one of the options, matched without regard to case."""

    def parse(raw: str) -> str:
        canonical = {option.lower(): option for option in options}.get(raw.lower())
        if canonical is None:
            raise ValueError
        return canonical

    return read(name, default, parse, purpose=purpose, hint=f"give one of {', '.join(options)}.")


def duration(name: str, default: str, *, purpose: str) -> int:
    """Return seconds from `30s`, `15m`, `2h`, `1d` or a plain number of seconds; zero is refused."""

    def parse(raw: str) -> int:
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", raw.lower())
        seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
        if not seconds:
            raise ValueError
        return seconds

    seconds = read(name, 0, parse, purpose=purpose, hint="give a duration such as 30s, 15m, 2h or 1d.")
    variables[name] = Variable(name, purpose, default)
    return seconds or parse(default)


def names(name: str, default: list[str], *, purpose: str) -> list[str]:
    """Return the comma-separated items, stripped, without empty ones."""
    return read(name, default, _split, purpose=purpose, hint="give names separated by commas.")


def origins(name: str, default: list[str], *, purpose: str) -> list[str]:
    """Return comma-separated web origins, `scheme://host[:port]` with nothing after it."""

    def parse(raw: str) -> list[str]:
        parsed = _split(raw)
        for origin in parsed:
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or f"{parts.scheme}://{parts.netloc}" != origin:
                raise ValueError
            if not parts.hostname or "*" in parts.netloc or "@" in parts.netloc:
                raise ValueError
        return parsed

    return read(
        name,
        default,
        parse,
        purpose=purpose,
        hint="give origins as scheme://host[:port], separated by commas, without a path or a wildcard.",
    )


def networks(name: str, default: list[str], *, purpose: str) -> list[IPNetwork]:
    """Return comma-separated IP networks in CIDR notation."""

    def parse(raw: str) -> list[IPNetwork]:
        return [ipaddress.ip_network(part) for part in _split(raw)]

    return read(
        name,
        [ipaddress.ip_network(part) for part in default],
        parse,
        purpose=purpose,
        hint="give networks such as 10.0.0.0/8 or fd00::/8, separated by commas.",
    )


def url(name: str, default: str, schemes: list[str], *, purpose: str) -> str:
    """Return a URL with one of the schemes; errors do not show it, since it may hold a password."""

    def parse(raw: str) -> str:
        if urlsplit(raw).scheme not in schemes:
            raise ValueError
        return raw

    value = read(
        name,
        default,
        parse,
        purpose=purpose,
        secret=True,
        hint=f"give a URL that begins with {' or '.join(scheme + '://' for scheme in schemes)}.",
    )
    variables[name] = Variable(name, purpose, "embedded" if default else "")
    return value


def require_module(name: str, module: str, *, extra: str) -> None:
    """Raise InvalidVariable where the module that a variable needs is not installed."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise InvalidVariable(name, "***", f"install Freight with its extra `{extra}`, or leave {name} empty.")


def _split(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]
