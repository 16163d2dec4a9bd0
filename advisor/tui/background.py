"""Work off the thread that draws.

Textual's own thread workers delay exit until they end, and a profile of a large table may take a minute. These threads
are daemons: quitting leaves them behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump


class Finished(Message):
    """Background work has ended: `result`, or `error`."""

    def __init__(self, label: str, ticket: int, result: Any, error: Exception | None) -> None:
        super().__init__()
        self.label = label
        self.ticket = ticket
        self.result = result
        self.error = error


def post(owner: MessagePump, message: Message) -> bool:
    """True when `message` reached `owner`; False when the interface has gone meanwhile."""
    try:
        return owner.post_message(message)
    except RuntimeError:  # its event loop is closed: nobody is left to tell
        return False


def run_behind(owner: MessagePump, label: str, work: Callable[[], Any], *, ticket: int = 0) -> threading.Thread:
    """Runs `work` in a daemon thread and posts `Finished` with `label` and `ticket` to `owner`; the ticket tells stale answers."""

    def body() -> None:
        result: Any = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error  # shown by the owner, which decides whether it is fatal
        post(owner, Finished(label, ticket, result, failure))

    thread = threading.Thread(target=body, name=f"tui-{label}", daemon=True)
    thread.start()
    return thread
