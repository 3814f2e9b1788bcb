"""The internals of Daphne, Twisted and channels_redis that we depend on are unchanged.

DIGESTS names each function or class that freight/server (or the module in a comment) overrides, calls or reads, and
a digest of its source. Where one differs after an upgrade: review its change against our code, run the tests of
this folder, and write down the digest that the failure shows.
"""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import pytest

DIGESTS = {
    # overridden or replaced
    "daphne.server:Server.run": "ecbfe68f5504",
    "daphne.server:Server.create_application": "a29def7ca803",
    "daphne.server:Server.handle_reply": "d770489422df",
    "daphne.server:Server.protocol_connected": "c94e3a8c0bc1",
    "daphne.server:Server.protocol_disconnected": "53db43ad111c",
    "daphne.server:Server.application_checker": "aa9360a492e4",
    # realtime/publishing/channel_layer.py
    "channels_redis.pubsub:RedisPubSubChannelLayer._get_layer": "94b0b4c4da1f",
    "channels_redis.pubsub:RedisSingleShardConnection": "0fe60ad58cf9",
    "channels_redis.pubsub:RedisPubSubLoopLayer": "dfaa785bc885",
    "redis.asyncio.connection:AbstractConnection.disconnect": "51afd265e7c1",
    "redis._parsers.hiredis:_AsyncHiredisParser": "5f2753b3b5d4",
    "redis.asyncio.client:PubSub.on_connect": "8963948d2d2a",
    "redis.asyncio.client:PubSub.handle_message": "6f54d7d70d2c",
    "daphne.server:Server.timeout_checker": "26cae18fcd00",
    "daphne.server:Server.kill_all_applications": "cdc35f4f74f0",
    "daphne.http_protocol:WebRequest": "8dd2fdff09e0",
    "daphne.http_protocol:HTTPFactory": "2e9c6a2ee46c",
    # the transport's buffer, producer and close
    "twisted.internet.abstract:_ConsumerMixin": "0c659ce8978a",
    "twisted.internet.abstract:FileDescriptor.doWrite": "64fe284e1b1d",
    "twisted.internet.abstract:FileDescriptor.write": "deb99b7ed4ab",
    "twisted.internet.abstract:FileDescriptor._isSendBufferFull": "0cb3609f90e0",
    "twisted.internet.abstract:FileDescriptor._maybePauseProducer": "3fbbdc883020",
    "twisted.internet.tcp:Connection.connectionLost": "33fd1133a9f7",
    "twisted.internet.tcp:Port.doRead": "0f5e9c8bf87d",
    "twisted.internet.tcp:Port.connectionLost": "ae8a5c33d439",
    "twisted.internet.unix:Port.connectionLost": "a016b625a89b",
    "twisted.web.http:HTTPChannel.dataReceived": "1f2653c4e242",
    "twisted.web.http:HTTPChannel.allContentReceived": "92b2ab3b9ae3",
    "twisted.web.http:HTTPChannel.rawDataReceived": "8b76e753f324",
    "twisted.web.http:Request.gotLength": "46d2fdc4fe60",
    "twisted.web.http:Request.handleContentChunk": "444816a78e4b",
    "twisted.web.http:_ChunkedTransferDecoder": "7c4baa863255",
    "twisted.web.http:HTTPChannel._respondToBadRequestAndDisconnect": "d383ac226ffe",
    "twisted.web.http:HTTPFactory.buildProtocol": "1c22b48bab7d",
    "twisted.protocols.policies:TimeoutMixin.setTimeout": "0313e3b4c58e",
    "twisted.web.http:HTTPChannel.connectionMade": "665b7b3b1bf6",
    "twisted.web.http:HTTPChannel.requestDone": "b285de062be1",
    "twisted.web.http:HTTPChannel.checkPersistence": "8546eb7331d4",
    "twisted.web.http:HTTPChannel.pauseProducing": "165d5fc28e43",
    "twisted.web.http:HTTPChannel.resumeProducing": "77db030a129c",
    "twisted.web.http:HTTPChannel.registerProducer": "a6f5a5ccb7ca",
    "twisted.web.http:Request.registerProducer": "6eeb569569d5",
    "twisted.web.http:Request.unregisterProducer": "641618f0471d",
    "twisted.web.http:Request.write": "63a57b54da58",
    "twisted.web.http:HTTPChannel.writeHeaders": "8c9cb3ccc7fe",
    "twisted.web.http:HTTPFactory.log": "06172dcc0562",
    "twisted.web.http_headers:Headers.addRawHeader": "7f2a8c53cda1",
    "twisted.web.http:Request.finish": "ad7de97f89de",
    "twisted.internet.asyncioreactor:AsyncioSelectorReactor.run": "f85a8f422cb6",
}


@cache
def source(module: str) -> str:
    """Return a module's source without importing it: an import could install the reactor."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(source(module))


def digest(name: str) -> str:
    module, _, inside = name.partition(":")
    node: ast.AST = tree(module)
    for part in inside.split("."):
        node = next(
            each
            for each in ast.iter_child_nodes(node)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and each.name == part
        )
    # The source and not `ast.dump`, which differs between versions of Python.
    text = ast.get_source_segment(source(module), node) or ""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", DIGESTS)
def test_the_source_of_an_internal_is_unchanged(name: str) -> None:
    assert digest(name) == DIGESTS[name]
