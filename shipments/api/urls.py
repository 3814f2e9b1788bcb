"""The routes below `/api/`."""

from django.urls import include, path, register_converter
from django.urls.converters import StringConverter

from shipments.api import (
    views_audit,
    views_bulk,
    views_events,
    views_evidence,
    views_feed,
    views_links,
    views_osmand,
    views_parties,
    views_positions,
    views_proof,
    views_shipments,
    views_users,
)
from shipments.api.documentation import DocsView, SchemaView
from shipments.identifiers import REFERENCE_PATTERN


class ReferenceConverter(StringConverter):
    """A shipment's reference."""

    regex = REFERENCE_PATTERN.pattern


register_converter(ReferenceConverter, "reference")

urlpatterns = [
    path("auth/", include("shipments.api.account_urls")),
    path("shipments/bulk", views_bulk.BulkView.as_view(), name="shipments-bulk"),
    path("shipments", views_shipments.ShipmentsView.as_view(), name="shipments"),
    path("shipments/<reference:reference>", views_shipments.ShipmentView.as_view(), name="shipment"),
    path(
        "shipments/<reference:reference>/transitions",
        views_shipments.TransitionsView.as_view(),
        name="shipment-transitions",
    ),
    path("shipments/<reference:reference>/events", views_events.EventsView.as_view(), name="shipment-events"),
    path(
        "shipments/<reference:reference>/checkpoints",
        views_evidence.CheckpointsView.as_view(),
        name="shipment-checkpoints",
    ),
    path(
        "shipments/<reference:reference>/checkpoints/<uuid:checkpoint_id>/void",
        views_evidence.VoidView.as_view(),
        name="checkpoint-void",
    ),
    path("shipments/<reference:reference>/pod", views_proof.ProofView.as_view(), name="shipment-pod"),
    path("shipments/<reference:reference>/flags", views_evidence.FlagsView.as_view(), name="shipment-flags"),
    path(
        "shipments/<reference:reference>/flags/<slug:flag>",
        views_evidence.FlagView.as_view(),
        name="shipment-flag",
    ),
    path(
        "shipments/<reference:reference>/tracking-links",
        views_links.LinksView.as_view(),
        name="shipment-tracking-links",
    ),
    path(
        "shipments/<reference:reference>/tracking-links/<uuid:link_id>",
        views_links.LinkView.as_view(),
        name="shipment-tracking-link",
    ),
    path("events", views_feed.FeedView.as_view(), name="feed"),
    path("audit-log", views_audit.AuditLogView.as_view(), name="audit-log"),
    path("drivers", views_parties.DriversView.as_view(), name="drivers"),
    path("drivers/<uuid:driver_id>", views_parties.DriverView.as_view(), name="driver"),
    path("drivers/<uuid:driver_id>/location", views_positions.LocationView.as_view(), name="driver-location"),
    path(
        "drivers/<uuid:driver_id>/device-keys",
        views_positions.DeviceKeysView.as_view(),
        name="driver-device-keys",
    ),
    path(
        "drivers/<uuid:driver_id>/device-keys/<uuid:device_key_id>",
        views_positions.DeviceKeyView.as_view(),
        name="driver-device-key",
    ),
    path("osmand", views_osmand.OsmandView.as_view(), name="osmand"),
    path("customers", views_parties.CustomersView.as_view(), name="customers"),
    path("customers/<uuid:customer_id>", views_parties.CustomerView.as_view(), name="customer"),
    path("users/search", views_users.UserSearchView.as_view(), name="user-search"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", DocsView.as_view(), name="docs"),
]
