"""A busy worker marks its own pod in Kubernetes, so that scaling in and moving pods together take idle ones.

The marks are wishes that controllers honour as well as they can; SIGTERM and its drain are what keeps work whole.
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path

from backend.workers.keeper import Answer
from backend.workers.link_local import ask

MARKS = {
    "controller.kubernetes.io/pod-deletion-cost": "1000",  # those without it, which cost 0, go first
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
OK, UNAUTHORIZED, CONFLICT, TOO_MANY, SERVER_ERROR = 200, 401, 409, 429, 500


class OwnPod:
    """A `Keeper`. NO_SERVICE: this service account may not patch pods, or has no token; the wish is not worth the work.

    `account` is the folder of the service account: the token in it changes, so it is read each time.
    """

    outlives_us = True  # a container that is started again is in the same pod

    def __init__(self, api_url: str, namespace: str, name: str, account: Path) -> None:
        self._url = f"{api_url}/api/v1/namespaces/{namespace}/pods/{name}"
        self._account = account

    def protect(self, minutes: int) -> tuple[Answer, str]:
        """`minutes` say nothing to Kubernetes: the marks stay until they are taken away."""
        return self._annotate(MARKS)

    def release(self) -> tuple[Answer, str]:
        return self._annotate(dict.fromkeys(MARKS))

    def _annotate(self, annotations: Mapping[str, str | None]) -> tuple[Answer, str]:
        try:
            token = (self._account / "token").read_text().strip()
            tls = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        except OSError as error:
            return (
                Answer.NO_SERVICE,
                f"No token in {self._account} ({type(error).__name__}): mount the account's.",
            )
        body = json.dumps({"metadata": {"annotations": annotations}}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        try:
            status, answer = ask("PATCH", self._url, body=body, headers=headers, tls=tls)
        except OSError as error:
            return Answer.UNREACHABLE, f"The Kubernetes API does not answer ({type(error).__name__})."
        return _understood(status), f"The Kubernetes API answered {status}: {answer[:300].decode(errors='replace')}"


def _understood(status: int) -> Answer:
    if status == OK:
        return Answer.SET
    # A token that was changed just now, a pod that somebody else wrote, a server with too much to do: asked again.
    if status in (UNAUTHORIZED, CONFLICT, TOO_MANY) or status >= SERVER_ERROR:
        return Answer.UNREACHABLE
    return Answer.NO_SERVICE
