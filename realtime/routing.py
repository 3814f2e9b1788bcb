"""Where sockets are served."""

from django.urls import re_path

from realtime.consumers import SocketConsumer

urlpatterns = [re_path(r"^ws/?$", SocketConsumer.as_asgi())]
