"""The server of every role: Daphne with flow control, a drain and less work a request.

    serve.py                starts a server: reactor, endpoint, garbage collector
    daphne.py               DaphneServer: its connections, and the application task of each
    http_requests.py        an HTTP request: backpressure for streams, and the upgrade to a WebSocket
    http_responses.py       a complete response in one write
    transport_buffer.py     how much of a connection is still buffered
    stalled_connections.py  aborts connections that make no progress
    django_handler.py       Django's ASGI handler with one thread switch a request
    drain.py                what a server does on SIGTERM
    websocket/              the WebSocket protocol

Import daphne, drain, http_requests and websocket only after the reactor is installed. They use internals of Daphne
and Twisted, which tests/freight/server/test_internals.py names: it fails when one changes.
"""
