"""A Bot API server on a real socket, for tests: what bots of ours need of it, and everything that it can do to them.

Long polling with confirmation by offset, and the end of an older question when a new one comes (409); HTML checked as
Telegram checks it; faults on purpose: see `Fault`, `down`, `scripted`.
"""

import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import h11
import msgspec
import trio
from attrs import define, field, frozen

TOKEN = "123456789:AAbbccddeeffgghhiijjkkllmmnnooppqqr"
OWNER = 4711
GROUP = -1001234
LONGEST = 4096


@frozen
class Fault:
    """What becomes of one request. `status`, `body`: the answer; `retry_after`: of a 429; `hang`: no answer ever;
    `done`: the request is carried out all the same, and the connection cut before the answer; `drip_s`: the answer
    comes byte by byte, so long apart."""

    status: int = 0
    description: str = "a fault"
    retry_after: int | None = None
    migrate_to: int | None = None
    body: bytes | None = None
    hang: bool = False
    done: bool = False
    drip_s: float = 0.0


@define
class Sent:
    """A message that was taken."""

    at: float
    chat: int
    html: str
    buttons: list[tuple[str, str]] = field(factory=list)

    @property
    def text(self) -> str:
        """As it is shown."""
        return shown(self.html)


def shown(html: str) -> str:
    plain = re.sub(r"</?(pre|code|b)>", "", html)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def fault_of_html(html: str) -> str | None:
    """What Telegram would refuse."""
    open_tags: list[str] = []
    for closing, name in re.findall(r"<(/?)([^>]*)>", html):
        if name not in ("pre", "code", "b"):
            return f"Bad Request: can't parse entities: Unsupported start tag {name!r}"
        if not closing:
            open_tags.append(name)
        elif not open_tags or open_tags.pop() != name:
            return "Bad Request: can't parse entities: unexpected end tag"
    if open_tags:
        return "Bad Request: can't parse entities: can't find end tag"
    if re.search(r"&(?!lt;|gt;|amp;|quot;)", html):
        return "Bad Request: can't parse entities: unsupported entity"
    text = shown(html)
    if not text.strip():
        return "Bad Request: message text is empty"
    if len(text.encode("utf-16-le")) // 2 > LONGEST:
        return "Bad Request: message is too long"
    return None


class Refused(Exception):
    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.parameters = parameters


class FakeTelegram:
    """The server. `sent`: messages taken; `calls`: methods asked for, with their parameters."""

    def __init__(self) -> None:
        self.url = ""
        self.down = False
        self.webhook = ""
        self.sent: list[Sent] = []
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.scripted: deque[list[Any]] = deque()
        """Answers to the next questions for updates, as they are."""
        self.updates: list[dict[str, Any]] = []
        self.notes: list[tuple[str, str]] = []
        self.chats: set[int] | None = None
        """Those that exist; None: any."""
        self.polls = 0
        self._next_update = 1000
        self._next_message = 0
        self._poll: trio.CancelScope | None = None
        self._changed = trio.Event()

    # -- what tests do -----------------------------------------------------------------------------------------------

    def message(self, text: str, user: int = OWNER, chat: int | None = None, age_s: float = 0, **more: Any) -> int:
        """Somebody writes; the update's number."""
        self._next_message += 1
        where = user if chat is None else chat
        content = {
            "message_id": self._next_message,
            "date": int(time.time() - age_s),
            "chat": {"id": where, "type": "private" if where > 0 else "supergroup", "first_name": "Anna"},
            "from": {"id": user, "is_bot": False, "first_name": "Anna", "username": f"user{user}"},
            "text": text,
        }
        return self.update(message=content | more)

    def press(self, data: str, user: int = OWNER, chat: int | None = None) -> int:
        """Somebody presses a button."""
        where = user if chat is None else chat
        sender = {"id": user, "is_bot": False, "first_name": "Anna"}
        below = {"message_id": 1, "date": int(time.time()), "chat": {"id": where, "type": "private"}}
        return self.update(
            callback_query={"id": "77", "from": sender, "data": data, "message": below, "chat_instance": "1"}
        )

    def update(self, **content: Any) -> int:
        self._next_update += 1
        self.updates.append({"update_id": self._next_update, **content})
        self._change()
        return self._next_update

    def texts(self, chat: int = OWNER) -> list[str]:
        """What a chat was sent."""
        return [each.text for each in self.sent if each.chat == chat]

    async def until_sent(self, count: int, within_s: float = 10) -> list[Sent]:
        """Wait for so many messages."""
        with trio.fail_after(within_s):
            while len(self.sent) < count:
                await self._changed.wait()
        return self.sent

    async def until_said(self, piece: str, within_s: float = 10) -> Sent:
        """Wait for a message with this in it."""
        with trio.fail_after(within_s):
            while True:
                for each in self.sent:
                    if piece in each.text:
                        return each
                await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- the server --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeTelegram"]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, self._connection, 0)
            port = listeners[0].socket.getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            yield self
            nursery.cancel_scope.cancel()

    async def _connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while not self.down and await self._request(stream, connection):
                    connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return

    async def _request(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        target, body = "", b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                target = event.target.decode()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        if self.down:
            return False
        _, bot, method = target.split("?")[0].split("/", 2)
        faults = self.faults[method]
        fault = faults.popleft() if faults else Fault()
        status, content = await self._answer(bot, method, dict(parse_qsl(body.decode(), keep_blank_values=True)), fault)
        if fault.hang:
            await trio.sleep_forever()
        if fault.done:
            return False
        data = connection.send(
            h11.Response(
                status_code=status,
                headers=[("content-length", str(len(content))), ("content-type", "application/json")],
            )
        )
        await stream.send_all(data + b"" if data else b"")
        for part in [content[at : at + 1] for at in range(len(content))] if fault.drip_s else [content]:
            await stream.send_all(connection.send(h11.Data(data=part)) or b"")
            await trio.sleep(fault.drip_s)
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        return True

    async def _answer(self, bot: str, method: str, asked: dict[str, str], fault: Fault) -> tuple[int, bytes]:
        self.calls.append((method, asked))
        try:
            if bot != f"bot{TOKEN}":
                raise Refused(401, "Unauthorized")
            if fault.body is not None:
                return fault.status, fault.body
            if fault.retry_after is not None:
                raise Refused(429, "Too Many Requests", retry_after=fault.retry_after)
            if fault.migrate_to is not None:
                raise Refused(400, "Bad Request: group was upgraded", migrate_to_chat_id=fault.migrate_to)
            if fault.status:
                raise Refused(fault.status, fault.description)
            if fault.hang and not fault.done:
                await trio.sleep_forever()
            do = getattr(self, f"_{method}", None)
            if do is None:
                raise Refused(404, "Not Found")
            return 200, msgspec.json.encode({"ok": True, "result": await do(asked)})
        except Refused as error:
            told = {"ok": False, "error_code": error.status, "description": str(error)}
            if error.parameters:
                told["parameters"] = error.parameters
            return error.status, msgspec.json.encode(told)

    async def _getMe(self, _: dict[str, str]) -> Any:  # noqa: N802 - the method's name
        return {
            "id": 123456789,
            "is_bot": True,
            "first_name": "Trader",
            "username": "trader_bot",
            "can_read_all_group_messages": False,
        }

    async def _getUpdates(self, asked: dict[str, str]) -> Any:  # noqa: N802
        self.polls += 1
        if self.webhook:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active")
        if self._poll is not None:
            self._poll.cancel()
        if self.scripted:
            return self.scripted.popleft()
        offset = int(asked.get("offset", 0))
        self.updates = [each for each in self.updates if each["update_id"] >= offset]
        with trio.CancelScope() as self._poll:
            scope = self._poll
            with trio.move_on_after(float(asked.get("timeout", 0))):
                while not self.updates and not self.scripted:
                    await self._changed.wait()
        if scope.cancelled_caught:
            raise Refused(409, "Conflict: terminated by other getUpdates request")
        if self._poll is scope:
            self._poll = None
        return self.scripted.popleft() if self.scripted else self.updates[: int(asked.get("limit", 100))]

    async def _sendMessage(self, asked: dict[str, str]) -> Any:  # noqa: N802
        chat = int(asked["chat_id"])
        if self.chats is not None and chat not in self.chats:
            raise Refused(400, "Bad Request: chat not found")
        if asked.get("parse_mode") == "HTML" and (fault := fault_of_html(asked["text"])):
            raise Refused(400, fault)
        markup = msgspec.json.decode(asked.get("reply_markup", "{}"))
        buttons = [(each["text"], each["callback_data"]) for row in markup.get("inline_keyboard", ()) for each in row]
        self.sent.append(Sent(time.monotonic(), chat, asked["text"], buttons))
        self._change()
        return {"message_id": len(self.sent), "date": int(time.time()), "chat": {"id": chat, "type": "private"}}

    async def _answerCallbackQuery(self, asked: dict[str, str]) -> bool:  # noqa: N802
        self.notes.append((asked["callback_query_id"], asked.get("text", "")))
        return True

    async def _setMyCommands(self, _: dict[str, str]) -> bool:  # noqa: N802
        return True

    async def _sendChatAction(self, asked: dict[str, str]) -> bool:  # noqa: N802
        if self.chats is not None and int(asked["chat_id"]) not in self.chats:
            raise Refused(400, "Bad Request: chat not found")
        return True

    async def _deleteWebhook(self, _: dict[str, str]) -> bool:  # noqa: N802
        self.webhook = ""
        return True

    async def _getWebhookInfo(self, _: dict[str, str]) -> Any:  # noqa: N802
        return {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": len(self.updates)}
