"""`self.redis`: messages between all bots of a user. Values are what JSON can say; nothing is kept for later."""

from collections.abc import Callable, Mapping
from typing import Any

from mlthon.link.bot.plain import plain
from mlthon.link.contract import HostFace, Published, RedisPublish, RedisSubscribe


class Redis:
    """What `self.redis` is in a bot."""

    def __init__(self, host: HostFace) -> None:
        self._host = host
        self._callbacks: dict[str, tuple[Callable[[Any], Any], ...]] = {}

    def publish(self, channel: str, value: Any = None) -> None:
        """Send `value` to every bot that has subscribed to `channel`. Raises `TypeError` for what JSON cannot say."""
        self._host.tell(RedisPublish(str(channel), plain(value)))

    def subscribe(self, channels: Mapping[str, Callable[[Any], Any]]) -> None:
        """Have `callback(value)` called with every value published from now on, for each `{channel: callback}`."""
        for channel, callback in channels.items():
            if not callable(callback):
                raise TypeError(f"redis.subscribe: {channel!r} needs a function that takes the value, not {callback!r}")
            self._callbacks[str(channel)] = (*self._callbacks.get(str(channel), ()), callback)
        self._host.tell(RedisSubscribe([str(each) for each in channels]))

    def callbacks(self, message: Published) -> tuple[Callable[[Any], Any], ...]:
        """Who is to hear of a message."""
        return self._callbacks.get(message.channel, ())
