"""Admin pages of the composition root: rate limits, exports, imports. The site itself is `freight.admin_site`.

It stands outside this package on purpose: loading the site from here would register these pages on a first instance
of it, which Django would then replace by a second, empty one.
"""

from freight.admin import jobs, rate_limits

__all__ = ["jobs", "rate_limits"]
