"""waitress's map of open files, with epoll: an event costs what it is about, however many clients hang on."""

from __future__ import annotations

import os
import selectors
from typing import Any

from waitress import wasyncore

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop(dict[int, Any]):
    """Of dispatchers by descriptor. One thread turns it; others change what a busy channel waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = selectors.DefaultSelector()
        self._due: set[int] = set()  # whose wishes are asked for before the next wait

    def __setitem__(self, descriptor: int, dispatcher: Any) -> None:
        super().__setitem__(descriptor, dispatcher)
        self._due.add(descriptor)  # later: it is not whole yet

    def __delitem__(self, descriptor: int) -> None:
        super().__delitem__(descriptor)
        self._watch(descriptor, None, 0)

    def turn(self, timeout_sec: float) -> None:
        """Waits for events, and handles them."""
        for descriptor in tuple(self._due):
            dispatcher = self.get(descriptor)
            # Race: a thread ends the request just now. Looked at in this order it is asked once more, not never.
            if not _changes_by_itself(dispatcher):
                self._due.discard(descriptor)
            if dispatcher is not None:
                self._ask(descriptor, dispatcher)
        for key, events in self._selector.select(timeout_sec):
            self._handle(key.fd, key.data, events)

    def ask(self, descriptor: int) -> None:
        """Before the next wait, what this one waits for: something else than an event may have changed it."""
        self._due.add(descriptor)

    def _ask(self, descriptor: int, dispatcher: Any) -> None:
        may_write = dispatcher.writable() and not dispatcher.accepting
        self._watch(descriptor, dispatcher, READ * bool(dispatcher.readable()) | WRITE * bool(may_write))

    def close(self) -> None:
        wasyncore.close_all(self, ignore_all=True)
        self._selector.close()

    def _handle(self, descriptor: int, dispatcher: Any, events: int) -> None:
        # Another one's event may have closed it, and the number may be another client's by now.
        if events & READ and self.get(descriptor) is dispatcher:
            wasyncore.read(dispatcher)
        if events & WRITE and self.get(descriptor) is dispatcher:
            wasyncore.write(dispatcher)
        self._due.add(descriptor)

    def _watch(self, descriptor: int, dispatcher: Any, events: int) -> None:
        known = self._selector.get_map().get(descriptor)
        if known is None and events:
            self._selector.register(descriptor, events, dispatcher)
        elif known is not None and not events:
            self._selector.unregister(descriptor)
        elif known is not None and (known.events != events or known.data is not dispatcher):
            self._selector.modify(descriptor, events, dispatcher)


class WakeUp:
    """The pipe that signals are written to, so that a stop is not noticed a second later."""

    accepting = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        os.read(self._descriptor, 4096)

    def close(self) -> None:
        return

    def handle_error(self) -> None:
        raise  # within wasyncore's handler


def _changes_by_itself(dispatcher: Any) -> bool:
    """A listener does with the number of connections; a channel does while a thread is at its requests."""
    return dispatcher is not None and bool(dispatcher.accepting or getattr(dispatcher, "requests", None))
