"""Where a remote worker says that it lives: its server's table."""

from __future__ import annotations

from backend.queue.messages import Leaving, Present, PresentAnswer
from backend.queue.registry import Presence, Told
from backend.workers.remote.server import Server


class RemoteRegistry:
    def __init__(self, server: Server) -> None:
        self._server = server

    def seen(self, presence: Presence) -> Told:
        said = {
            "worker": self._server.process,
            "kinds": list(presence.knows),
            "schema_version": presence.schema_version,
            "has": list(presence.encoders),
            "kind": presence.kind,
            "trouble": presence.trouble,
            "begins": presence.begins,
            "device": presence.device,
        }
        told = self._server.ask("/seen", Present.model_validate(said), PresentAnswer)
        return Told(told.others_are_well, told.stop)

    def gone(self, worker_id: str) -> None:
        self._server.tell("/gone", Leaving(worker=self._server.process))
