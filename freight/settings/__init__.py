"""Django's settings, read from the environment; docs/settings.md lists every variable."""

import os
from datetime import timedelta
from pathlib import Path

import structlog

from freight import embedded
from freight.settings import (
    applications,
    environment,
    files,
    logs,
    misspelled,
    processes,
    rate_limits,
    secrets,
    services,
)
from monitoring.prometheus import multiprocess

BASE_DIR = Path(__file__).resolve().parents[2]
VERSION = "0.1.0"

# -- installation ----------------------------------------------------------------------------------------

FREIGHT_HOME = Path(
    environment.text(
        "FREIGHT_HOME",
        str(BASE_DIR / ".freight"),
        purpose="Folder of the embedded services' data, logs, generated secret key and collected static files.",
    )
).absolute()
DEMO = environment.boolean(
    "DEMO", default=False, purpose="Demo data, demo accounts and generous limits; set by `make run`."
)
DEBUG = environment.boolean("DEBUG", default=False, purpose="Django's debug pages; never in production.")
PORT = environment.integer("PORT", 4000, low=1, high=65535, purpose="The public port.")
_counts = processes.counts_from_environment()
API_PROCESSES = _counts["api"]
WS_PROCESSES = _counts["ws"]
EXPECTED_PROCESSES = processes.expected_from_environment()
SIMULATE = environment.boolean(
    "SIMULATE", default=True, purpose="Whether `make run` drives demo shipments through their lifecycle."
)
LOG_LEVEL = environment.choice(
    "LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"], purpose="The lowest level that is logged."
)
MEMORY_BUDGET_MB = environment.integer(
    "MEMORY_BUDGET_MB", 512, low=64, purpose="Memory budget of a process where no cgroup limits it."
)
SLOW_QUERY_MS = environment.integer(
    "SLOW_QUERY_MS", 1000, low=1, purpose="A query slower than this is recorded as slow."
)

OTEL_EXPORTER_OTLP_ENDPOINT = environment.url(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "",
    ["http", "https"],
    purpose="Collector that spans are sent to by OTLP/HTTP; empty: none are recorded. Needs the extra `tracing`.",
)
if OTEL_EXPORTER_OTLP_ENDPOINT:
    environment.require_module("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry.sdk", extra="tracing")

METRICS_DIR = environment.text(
    "METRICS_DIR",
    str(FREIGHT_HOME / "metrics"),
    purpose="Folder of the metrics that the processes of a host share.",
)
HOST_NAME = environment.text(
    "HOST_NAME", "", purpose="Name of this host among others that share a Redis; empty: the machine's."
)
multiprocess.install(Path(METRICS_DIR), HOST_NAME)
GATEWAY_SOCKET = environment.text(
    "GATEWAY_SOCKET",
    str(embedded.layout.at(FREIGHT_HOME).sockets / "gateway.sock"),
    purpose="Datagram socket to which nginx reports what no process answered.",
)

DELAYED_AFTER = timedelta(
    seconds=environment.duration(
        "DELAYED_AFTER", "30m", purpose="How long after its planned delivery a shipment is flagged `delayed`."
    )
)
STALE_AFTER = timedelta(
    seconds=environment.duration(
        "STALE_AFTER",
        "7d",
        purpose="How long a shipment in transit may go without news before it is flagged `stale`.",
    )
)

POSITION_RETENTION_DAYS = environment.integer(
    "POSITION_RETENTION_DAYS", 30, low=1, high=3650, purpose="How many days drivers' positions are kept."
)

# -- services -----------------------------------------------------------------------------------------------

_endpoints = embedded.endpoints(FREIGHT_HOME)
DATABASE_URL = environment.url(
    "DATABASE_URL",
    _endpoints.database_url,
    ["postgres", "postgresql"],
    purpose="PostgreSQL ≥ 15; without it a private one is started under FREIGHT_HOME.",
)
REDIS_URL = environment.url(
    "REDIS_URL",
    _endpoints.redis_url,
    ["redis", "rediss", "unix"],
    purpose="Redis or Valkey; without it a private one is started under FREIGHT_HOME.",
)
EMBEDDED_DATABASE = _endpoints.database_url == DATABASE_URL
DATABASE_POOL_SIZE = environment.integer(
    "DATABASE_POOL_SIZE", 10, low=2, high=200, purpose="The most database connections of one process."
)

DATABASES = services.databases(DATABASE_URL, pool_size=DATABASE_POOL_SIZE)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHE_TTL_SECONDS = environment.integer(
    "CACHE_TTL_SECONDS", 3600, low=1, purpose="The TTL of a cached shipment, in seconds."
)
_files = files.from_environment(FREIGHT_HOME)
EXPORT_DIR: Path = _files.export_dir
EXPORT_KEEP: int = _files.export_keep
EXPORT_CACHE_TTL_SECONDS: int = _files.export_cache_ttl
IMPORT_MAX_BYTES: int = _files.import_max_bytes
IMPORT_MAX_ROWS: int = _files.import_max_rows
IMPORT_KEEP: int = _files.import_keep
GS1_COMPANY_PREFIX: str = _files.gs1_company_prefix
CACHES = services.caches(REDIS_URL, ttl_seconds=CACHE_TTL_SECONDS)
CHANNEL_LAYERS = services.channel_layers(REDIS_URL)

# -- applications -----------------------------------------------------------------------------------------

INSTALLED_APPS = applications.INSTALLED_APPS
MIDDLEWARE = applications.MIDDLEWARE
ROOT_URLCONF = "freight.urls"
ASGI_APPLICATION = "freight.asgi.application"
APPEND_SLASH = False
TEMPLATES = applications.templates(BASE_DIR)
STATIC_URL = "/static/"
STATIC_ROOT = FREIGHT_HOME / "static"
# Files built at start: the map's coastlines.
STATICFILES_DIRS = [("map", FREIGHT_HOME / "build" / "map")]
SILENCED_SYSTEM_CHECKS = ["staticfiles.W004"]  # that folder does not exist before the first start
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# -- security ---------------------------------------------------------------------------------------------

SECRET_KEY = secrets.secret_key(
    environment.text(
        "SECRET_KEY",
        "",
        secret=True,
        minimum=50,
        purpose="Signs tokens and sessions; generated and kept in FREIGHT_HOME with the embedded database.",
    ),
    home=FREIGHT_HOME,
    may_generate=EMBEDDED_DATABASE,
)
SECRET_KEY_FALLBACKS: list[str] = environment.read(
    "SECRET_KEY_FALLBACKS",
    [],
    secrets.fallback_keys,
    secret=True,
    hint="give keys of at least 50 characters each, separated by commas.",
    purpose="Earlier keys: what they signed (sessions, tokens, cursors) is valid until it ends.",
)
HTTPS = environment.boolean(
    "HTTPS",
    default=not (DEMO or DEBUG or EMBEDDED_DATABASE),
    purpose="Whether clients reach Freight by https: secure cookies, redirect and HSTS.",
)
_LOCAL_ORIGINS = [f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"] if EMBEDDED_DATABASE or DEMO else []
ALLOWED_HOSTS = environment.names(
    "ALLOWED_HOSTS",
    ["127.0.0.1", "localhost"],
    purpose="Host names that Freight serves.",
)
CSRF_TRUSTED_ORIGINS = environment.origins(
    "CSRF_TRUSTED_ORIGINS", _LOCAL_ORIGINS, purpose="Origins whose forms are accepted."
)
WS_CORS_ORIGINS = environment.origins(
    "WS_CORS_ORIGINS", _LOCAL_ORIGINS, purpose="Origins whose pages may open a WebSocket by cookie."
)
CORS_ALLOWED_ORIGINS = environment.origins(
    "CORS_ORIGINS", [], purpose="Origins of other sites whose scripts may call the API with a token."
)
CORS_URLS_REGEX = r"^/api/.*$"
CORS_EXPOSE_HEADERS = applications.CORS_EXPOSE_HEADERS
CORS_ALLOW_HEADERS = applications.CORS_ALLOW_HEADERS
TRUSTED_PROXIES = environment.networks(
    "TRUSTED_PROXIES",
    [],
    purpose="Networks whose X-Forwarded-* headers are trusted; those of a unix socket always are.",
)
METRICS_ALLOWED_NETWORKS = environment.networks(
    "METRICS_ALLOWED_NETWORKS",
    ["127.0.0.0/8", "::1/128"],
    purpose="Networks that may read metrics and detailed health without a key.",
)
ADMIN_ALLOWED_NETWORKS = environment.networks(
    "ADMIN_ALLOWED_NETWORKS", ["127.0.0.0/8", "::1/128"], purpose="Networks that may reach /admin."
)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = HTTPS
# Scrapers and load balancers inside the network use plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^api/health", r"^api/metrics"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SECURE = HTTPS
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = applications.CONTENT_SECURITY_POLICY
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

AUTH_USER_MODEL = "shipments.User"
AUTHENTICATION_BACKENDS = ["shipments.api.authentication.MemberBackend"]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login"
PASSWORD_HASHERS = applications.PASSWORD_HASHERS
AUTH_PASSWORD_VALIDATORS = applications.AUTH_PASSWORD_VALIDATORS
JWT_ACCESS_MINUTES = environment.integer(
    "JWT_ACCESS_MINUTES", 15, low=1, high=24 * 60, purpose="How long an access token lives."
)
JWT_REFRESH_DAYS = environment.integer(
    "JWT_REFRESH_DAYS", 30, low=1, high=365, purpose="How long an unused login lives."
)

# -- REST -------------------------------------------------------------------------------------------------

REST_FRAMEWORK = applications.REST_FRAMEWORK
SPECTACULAR_SETTINGS = applications.SPECTACULAR_SETTINGS | {"VERSION": VERSION}

# -- limits -----------------------------------------------------------------------------------------------

RATE_LIMITS = rate_limits.from_environment(demo=DEMO)
# Shown by `manage.py limits`.
RATE_LIMITS_SET = rate_limits.overridden_policies()
RATE_LIMIT_USER_FACTOR = rate_limits.user_factor()
SOCKETS_PER_USER = environment.integer(
    "RATE_LIMIT_SOCKETS_PER_USER",
    2_000 if DEMO else 100,
    low=1,
    purpose="The most WebSockets that a user may have open, over all processes.",
)
SOCKETS_PER_ADDRESS = environment.integer(
    "RATE_LIMIT_SOCKETS_PER_ADDRESS",
    20_000 if DEMO else 1_000,
    low=1,
    purpose="The most WebSockets that may be open from one address (IPv6: /64), over all processes.",
)
RATELIMIT_USE_CACHE = "limits"
RATE_LIMIT_WHITELIST = environment.names(
    "RATE_LIMIT_WHITELIST",
    [],
    purpose="Service subjects without rate limits: names of staff's API keys or accounts, or ids of either.",
)

# -- logs -------------------------------------------------------------------------------------------------

LOGGING_CONFIG = None
logs.configure(level=LOG_LEVEL)
for _misspelling in misspelled.find(os.environ, environment.variables):
    structlog.get_logger("freight.settings").warning(str(_misspelling))
