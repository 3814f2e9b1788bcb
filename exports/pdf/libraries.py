"""The system libraries that WeasyPrint loads; an installation may lack them."""

import ctypes
import sys
from functools import lru_cache
from typing import Final

# Names for the dynamic loader.
_PANGO: Final = ("libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0")
_PANGO_MAC: Final = ("libpango-1.0.dylib", "libpangoft2-1.0.dylib", "libharfbuzz-subset.0.dylib")
REMEDY: Final = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


@lru_cache(maxsize=1)
def present() -> bool:
    """Return whether the libraries are installed; checked once per process."""
    try:
        for name in _PANGO_MAC if sys.platform == "darwin" else _PANGO:
            ctypes.CDLL(name)
    except OSError:
        return False
    return True
