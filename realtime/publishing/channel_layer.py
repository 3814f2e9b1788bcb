"""The channel layer: channels-redis over pub/sub, with a shorter receive path.

channels-redis polls redis-py with a deadline per message, ten times a second when idle, and puts each message into
a queue for a task. Here the bytes of the connection are parsed as they arrive, and a message goes straight to the
callback that `add_listener` set. Groups, publishing, connecting and re-subscribing are inherited.

This reaches into private parts of channels-redis and redis-py; tests/realtime/publishing/test_channel_layer.py
holds the behaviour that it depends on.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection

_RETRY_SECONDS: Final = 0.2
_IDLE_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


class HintChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels-redis is untyped
    """The layer of one process; as in channels-redis, each event loop has connections of its own."""

    def add_listener(self, channel: str, callback: Callable[[dict[str, Any]], None]) -> None:
        """Call `callback`, which must not block or raise, with each message of the channel's groups."""

        def on_data(data: bytes) -> None:
            try:
                message = self.deserialize(data)
            except Exception as error:  # noqa: BLE001  any client can publish anything: the connection stays
                _log.warning("invalid hint: %r", error)
            else:
                callback(message)

        self._get_layer().channels[channel] = _CallbackQueue(on_data)

    async def publish(self, messages: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Publish `(group, message)` pairs in order, with one round trip to each Redis shard."""
        layer = self._get_layer()
        by_shard: dict[_Shard, list[tuple[str, bytes]]] = defaultdict(list)
        for group, message in messages:
            channel = layer._get_group_channel_name(group)  # noqa: SLF001  the public methods publish one message each
            shard = layer._get_shard(channel)  # noqa: SLF001  as above
            by_shard[shard].append((channel, self.serialize(message)))
        for shard, batch in by_shard.items():
            await shard.publish_all(batch)

    def _get_layer(self) -> Any:
        is_known_loop = asyncio.get_running_loop() in self._layers
        layer = super()._get_layer()
        if not is_known_loop:
            shards = layer._shards  # noqa: SLF001  channels-redis has no hook for the class of a shard
            shards[:] = [_Shard(shard.host, layer) for shard in shards]
        return layer


class _CallbackQueue:
    """Takes the place of the queue that channels-redis has for each channel."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.put_nowait = put


class _Shard(RedisSingleShardConnection):  # type: ignore[misc]  # channels-redis is untyped
    """One Redis server: publishes on one connection and receives on another."""

    async def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish `(channel, data)` pairs in order, in one pipeline."""
        async with self._lock:
            self._ensure_redis()
            pipeline = self._redis.pipeline(transaction=False)
            for channel, data in messages:
                pipeline.publish(channel, data)
            await pipeline.execute()

    async def _do_receiving(self) -> None:
        while True:
            try:
                await self._receive()
            except Exception as error:  # noqa: BLE001  Redis is away: the subscription notices, the sweep goes on
                _log.info("hints not received: %r", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _receive(self) -> None:
        pubsub = self._pubsub
        if pubsub is None or not pubsub.subscribed:
            await asyncio.sleep(_IDLE_SECONDS)
            return
        connection = pubsub.connection
        if connection is None or not connection.is_connected:
            # Connects, and restores the subscriptions of the lost connection.
            self._receive_message(await pubsub.get_message(ignore_subscribe_messages=True, timeout=_IDLE_SECONDS))
            return
        reader = _PubSubReader(connection, self._on_reply)
        await reader.closed.wait()
        if reader.reads_from(connection):  # else a subscriber has reconnected meanwhile
            await connection.disconnect()
        raise redis.ConnectionError("The connection was lost.")

    def _on_reply(self, reply: list[Any]) -> None:
        if reply[0] == b"message":
            self._receive_message({"channel": reply[1], "data": reply[2]})
        elif reply[0] == b"unsubscribe" and reply[1] in self._pubsub.pending_unsubscribe_channels:
            self._pubsub.pending_unsubscribe_channels.remove(reply[1])
            self._pubsub.channels.pop(reply[1], None)


class _PubSubReader(asyncio.Protocol):
    """Takes over reading from a redis-py connection, with redis-py's own parser and whatever is buffered.

    redis-py goes on writing to the connection, and is still notified when it closes.
    """

    def __init__(self, connection: Any, on_reply: Callable[[list[Any]], None]) -> None:
        self.closed = asyncio.Event()
        self._stream = connection._reader  # noqa: SLF001  redis-py has no public way to take a connection over
        self._parser = connection._parser._reader  # noqa: SLF001  the hiredis parser
        self._on_reply = on_reply
        transport = connection._writer.transport  # noqa: SLF001  as above
        self._replaced_protocol = transport.get_protocol()
        buffered = bytes(self._stream._buffer)  # noqa: SLF001  received, and not yet parsed
        self._stream._buffer.clear()  # noqa: SLF001  as above
        if transport.is_closing() or self._stream.at_eof():
            self.closed.set()
            return
        transport.set_protocol(self)
        self._stream._maybe_resume_transport()  # noqa: SLF001  it may have paused for the buffer just emptied
        self.data_received(buffered)

    def reads_from(self, connection: Any) -> bool:
        """Return whether the connection is still the one that was taken over."""
        return connection._reader is self._stream  # noqa: SLF001  as above

    def data_received(self, data: bytes) -> None:
        """Pass on every complete reply; invalid bytes close the connection."""
        try:
            self._parser.feed(data)
            while isinstance(reply := self._parser.gets(), list):
                self._on_reply(reply)
        except redis.RedisError as error:
            _log.warning("invalid reply of Redis: %r", error)
            self.closed.set()

    def eof_received(self) -> bool | None:
        """Note the end of the stream, and let redis-py know."""
        self.closed.set()
        return self._replaced_protocol.eof_received()  # type: ignore[no-any-return]  # an untyped protocol of redis-py

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is lost, and let redis-py know."""
        self._replaced_protocol.connection_lost(error)
        self.closed.set()

    def pause_writing(self) -> None:
        """Pass on the transport's backpressure."""
        self._replaced_protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on the end of the transport's backpressure."""
        self._replaced_protocol.resume_writing()
