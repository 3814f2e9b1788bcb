"""The settings that no installation changes: apps, middleware, templates, and the options of libraries."""

from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

INSTALLED_APPS = [
    "freight.apps.FreightAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_prometheus",
    "freight",
    "shipments",
    "realtime",
    "exports",
    "monitoring",
    "ratelimits",
]
# All synchronous: freight.server.django_handler runs them with the view in one thread switch.
MIDDLEWARE = [
    "monitoring.middleware.RequestContextMiddleware",
    "monitoring.middleware.DjangoMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "shipments.api.http.idempotency.RefuseIdempotencyKeyMiddleware",
    "ratelimits.middleware.RateLimitHeadersMiddleware",
]
CORS_EXPOSE_HEADERS = [
    "ETag", "Idempotency-Replayed", "Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy",
    "X-Request-ID",
]  # fmt: skip
CORS_ALLOW_HEADERS = [
    "accept", "authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "last-event-id",
    "traceparent", "tracestate", "x-request-id",
]  # fmt: skip
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
PASSWORD_HASHERS = [
    "shipments.auth.password_hashers.Argon2Hasher",
    "shipments.auth.password_hashers.PBKDF2Hasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["shipments.api.authentication.SubjectAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["shipments.api.http.permissions.IsMember"],
    "DEFAULT_THROTTLE_CLASSES": ["ratelimits.throttling.GeneralThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["shipments.api.http.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["shipments.api.http.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "shipments.api.http.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Freight",
    "DESCRIPTION": "Shipments, what happens to them, and who may know: the REST API of Freight.",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "string", "format": "uuid"}},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "realtime.sse.openapi.describe_streams",
        "shipments.api.openapi.postprocessing.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ShipmentStatus": "shipments.domain.lifecycle.STATES",
        "StartStatus": "shipments.domain.lifecycle.INITIAL_STATES",
        "DriverStatus": "shipments.models.Driver.Status",
        "CheckpointClassifierEnum": "shipments.models.Checkpoint.Classifier",
        "CheckpointOutcomeEnum": "shipments.models.Checkpoint.Outcome",
    },
}


def templates(root: Path) -> list[dict[str, Any]]:
    """Return TEMPLATES, with `templates` below the root as the first folder."""
    return [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [root / "templates"],
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ]
