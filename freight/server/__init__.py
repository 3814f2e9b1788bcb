"""Daphne with what it lacks. Import its modules only after the reactor is installed.

    daphne.py    the server: applications, their end, what is offered to them
    opening.py   how a WebSocket begins, without what only its handshake needs
    sockets.py   a WebSocket: limits inwards, close codes, the way in for frames
    inbox.py     what has come and was not taken yet by an application
    outbox.py    what waits for a socket; one write a turn of the event loop; who reads too slowly is cut
    requests.py  an HTTP request: the application waits for a slow reader, and is told when it has gone
    replies.py   an answer that is there as a whole: one write
    flow.py      how much waits in a transport, and which transports stand still
    drain.py     the end of the process, on SIGTERM

All of it reaches into internals of Daphne, Autobahn and Twisted; tests/freight/server/test_internals.py names them
and fails when one changes.
"""
