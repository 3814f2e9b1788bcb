"""The routes below `/api/`."""

from django.urls import include, path

from shipments.api.accounts import customer_views, user_views
from shipments.api.feed import audit_views, feed_views, stream_views
from shipments.api.fleet import device_key_views, driver_views, osmand_views, position_batch_views, position_views
from shipments.api.openapi import problem_views
from shipments.api.openapi.views import DocsView, SchemaView
from shipments.api.shipments import (
    bulk_views,
    checkpoint_views,
    event_views,
    flag_views,
    proof_views,
    shipment_views,
    tracking_link_views,
    void_views,
)
from shipments.parsing import path_converters as path_converters  # registers them

urlpatterns = [
    path("auth/", include("shipments.api.accounts.urls")),
    path("shipments/bulk", bulk_views.BulkView.as_view(), name="shipments-bulk"),
    path("shipments", shipment_views.ShipmentsView.as_view(), name="shipments"),
    path("shipments/<reference:reference>", shipment_views.ShipmentView.as_view(), name="shipment"),
    path(
        "shipments/<reference:reference>/transitions",
        shipment_views.TransitionsView.as_view(),
        name="shipment-transitions",
    ),
    path("shipments/<reference:reference>/events", event_views.EventsView.as_view(), name="shipment-events"),
    path(
        "shipments/<reference:reference>/events/<int:seq>/void",
        void_views.EventVoidView.as_view(),
        name="event-void",
    ),
    path(
        "shipments/<reference:reference>/stream",
        stream_views.ShipmentStreamView.as_view(),
        name="shipment-stream",
    ),
    path(
        "shipments/<reference:reference>/checkpoints",
        checkpoint_views.CheckpointsView.as_view(),
        name="shipment-checkpoints",
    ),
    path(
        "shipments/<reference:reference>/checkpoints/<id:checkpoint_id>",
        checkpoint_views.CheckpointView.as_view(),
        name="shipment-checkpoint",
    ),
    path(
        "shipments/<reference:reference>/checkpoints/<id:checkpoint_id>/void",
        checkpoint_views.VoidView.as_view(),
        name="checkpoint-void",
    ),
    path("shipments/<reference:reference>/pod", proof_views.ProofView.as_view(), name="shipment-pod"),
    path("shipments/<reference:reference>/flags", flag_views.FlagsView.as_view(), name="shipment-flags"),
    path(
        "shipments/<reference:reference>/flags/<slug:flag>",
        flag_views.FlagView.as_view(),
        name="shipment-flag",
    ),
    path(
        "shipments/<reference:reference>/tracking-links",
        tracking_link_views.LinksView.as_view(),
        name="shipment-tracking-links",
    ),
    path(
        "shipments/<reference:reference>/tracking-links/<id:link_id>",
        tracking_link_views.LinkView.as_view(),
        name="shipment-tracking-link",
    ),
    path("events", feed_views.FeedView.as_view(), name="feed"),
    path("events/stream", stream_views.FeedStreamView.as_view(), name="feed-stream"),
    path("audit-log", audit_views.AuditLogView.as_view(), name="audit-log"),
    path("drivers", driver_views.DriversView.as_view(), name="drivers"),
    path("drivers/positions", position_batch_views.PositionsView.as_view(), name="driver-positions"),
    path("drivers/<id:driver_id>", driver_views.DriverView.as_view(), name="driver"),
    path("drivers/<id:driver_id>/location", position_views.LocationView.as_view(), name="driver-location"),
    path(
        "drivers/<id:driver_id>/device-keys",
        device_key_views.DeviceKeysView.as_view(),
        name="driver-device-keys",
    ),
    path(
        "drivers/<id:driver_id>/device-keys/<id:device_key_id>",
        device_key_views.DeviceKeyView.as_view(),
        name="driver-device-key",
    ),
    path("osmand", osmand_views.OsmandView.as_view(), name="osmand"),
    path("customers", customer_views.CustomersView.as_view(), name="customers"),
    path("customers/<id:customer_id>", customer_views.CustomerView.as_view(), name="customer"),
    path("users/search", user_views.UserSearchView.as_view(), name="user-search"),
    path("problems", problem_views.ProblemTypesView.as_view(), name="problems"),
    path("problems/<str:code>", problem_views.ProblemTypeView.as_view(), name="problem"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", DocsView.as_view(), name="docs"),
]
