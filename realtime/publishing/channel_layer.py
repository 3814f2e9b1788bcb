"""The channel layer: channels-redis over pub/sub, with a shorter way in for what a process hears.

channels-redis asks redis-py for each message with a deadline of its own, ten times a second also where none is,
and lays it into a queue for a task. Here what the connection brings is parsed as it comes, and a message goes
straight to whoever opened the channel by `hear`. Groups, publishing, connecting, subscribing anew are theirs.
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


class HintChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """One for all event loops of a process, as channels-redis has it."""

    def add_listener(self, channel: str, callback: Callable[[dict[str, Any]], None]) -> None:
        """Hand each message of the channel's groups to `take`, which must not wait and not raise."""

        def on_data(data: bytes) -> None:
            try:
                message = self.deserialize(data)
            except Exception as error:
                _log.warning("hint not understood: %r", error)
            else:
                callback(message)

        self._get_layer().channels[channel] = _CallbackQueue(on_data)

    async def publish(self, messages: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Send messages to their groups, in order and in one word with each Redis."""
        layer = self._get_layer()
        by_shard: dict[_Shard, list[tuple[str, bytes]]] = defaultdict(list)
        for group, message in messages:
            channel = layer._get_group_channel_name(group)
            by_shard[layer._get_shard(channel)].append((channel, self.serialize(message)))
        for shard, batch in by_shard.items():
            await shard.publish_all(batch)

    def _get_layer(self) -> Any:
        is_known_loop = asyncio.get_running_loop() in self._layers
        layer = super()._get_layer()
        if not is_known_loop:
            layer._shards = [_Shard(shard.host, layer) for shard in layer._shards]
        return layer


class _CallbackQueue:
    """Stands where channels-redis has a queue."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.put_nowait = put


class _Shard(RedisSingleShardConnection):  # type: ignore[misc]
    """One Redis: publishes on one connection, hears on another."""

    async def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish messages to their channels."""
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
            except Exception as error:
                _log.info("hints not received: %r", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _receive(self) -> None:
        pubsub = self._pubsub
        if pubsub is None or not pubsub.subscribed:
            await asyncio.sleep(_IDLE_SECONDS)
            return
        connection = pubsub.connection
        if connection is None or not connection.is_connected:
            # This connects, and subscribes to what was subscribed to before.
            self._receive_message(await pubsub.get_message(ignore_subscribe_messages=True, timeout=_IDLE_SECONDS))
            return
        reader = _PubSubReader(connection, self._on_reply)
        await reader.closed.wait()
        if reader.reads_from(connection):  # else it is a new one, made by who subscribed meanwhile
            await connection.disconnect()
        raise redis.ConnectionError("The connection was lost.")

    def _on_reply(self, reply: list[Any]) -> None:
        if reply[0] == b"message":
            self._receive_message({"channel": reply[1], "data": reply[2]})
        elif reply[0] == b"unsubscribe" and reply[1] in self._pubsub.pending_unsubscribe_channels:
            self._pubsub.pending_unsubscribe_channels.remove(reply[1])
            self._pubsub.channels.pop(reply[1], None)


class _PubSubReader(asyncio.Protocol):
    """Takes over a connection of redis-py and parses what it brings, by redis-py's parser, from where that stood.

    Its writing goes on as before, and it hears of the connection's end.
    """

    def __init__(self, connection: Any, on_reply: Callable[[list[Any]], None]) -> None:
        self.closed = asyncio.Event()
        self._stream = connection._reader
        self._parser = connection._parser._reader
        self._on_reply = on_reply
        transport = connection._writer.transport
        self._replaced_protocol = transport.get_protocol()
        buffered = bytes(self._stream._buffer)
        self._stream._buffer.clear()
        if transport.is_closing() or self._stream.at_eof():
            self.closed.set()
            return
        transport.set_protocol(self)
        self._stream._maybe_resume_transport()
        self.data_received(buffered)

    def reads_from(self, connection: Any) -> bool:
        """Tell whether the connection is still the one that was taken over."""
        return connection._reader is self._stream

    def data_received(self, data: bytes) -> None:
        """Tell every whole message; what cannot be read ends the connection."""
        try:
            self._parser.feed(data)
            while isinstance(reply := self._parser.gets(), list):
                self._on_reply(reply)
        except redis.RedisError as error:
            _log.warning("hints not understood: %r", error)
            self.closed.set()

    def eof_received(self) -> bool | None:
        """The server has nothing more to say."""
        self.closed.set()
        return self._replaced_protocol.eof_received()  # type: ignore[no-any-return]

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._replaced_protocol.connection_lost(error)
        self.closed.set()

    def pause_writing(self) -> None:
        """The transport has much to write."""
        self._replaced_protocol.pause_writing()

    def resume_writing(self) -> None:
        """The transport can write again."""
        self._replaced_protocol.resume_writing()
