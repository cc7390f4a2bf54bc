"""The jail as it looks from inside: what hostile code in the media process tries, and that it gets nothing; with all
layers, with those that a container has, and each of them alone, so that every one is known to carry weight."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.media.jail.order import Layer
from tests.integration.jail.conftest import (
    ALL,
    ALONE,
    IN_A_CONTAINER,
    NONE,
    Hostile,
    only_where_numbers_are_known,
    only_where_there_is_a_jail,
)

pytestmark = [only_where_there_is_a_jail, only_where_numbers_are_known]
# As a call that is refused, or not there; in a world of its own much is not there.
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
ABSENT = {errno.ENOENT, errno.ESRCH, errno.ECONNREFUSED}
# What any process of this user may do; the others take rights that not every machine gives it.
OPEN_WITHOUT = {
    "users", "another job's film", "names of objects", "another job's piece", "all names", "our code", "a library",
    "its own environment", "a device", "TCP", "a port of its own", "an abstract socket",
    "a signal to a sibling", "a symbolic link", "a hard link", "a FIFO", "a named socket", "UDP", "netlink",
    "a pair of sockets", "a fork", "a vfork", "another program beside it", "a file in memory",
    "a program with its owner's rights",
}  # fmt: skip
INET, UNIX, NETLINK, PACKET, VSOCK = 2, 1, 16, 17, 40
STREAM, DATAGRAM, RAW = 1, 2, 3


class Surroundings:
    """What lies around the media process, for it to reach for: none of it is its own."""

    def __init__(self, folder: Path, url: str, sibling: int) -> None:
        self.folder = folder
        self.sibling = sibling
        self.object = folder / "objects" / "jobs" / "other" / "output.mp4"
        self.object.parent.mkdir(parents=True)
        self.object.write_bytes(b"somebody's film")
        self.work = folder / "work-of-another"
        self.work.mkdir()
        (self.work / "piece").write_bytes(b"another job's")
        self.mine = folder / "mine"
        self.mine.mkdir()
        host = url.partition("host=")[2].partition("&")[0]
        self.database_folder = Path(host)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0framefleet-test-{os.getpid()}")
        self.abstract.listen()
        self.named = socket.socket(socket.AF_UNIX)
        self.named.bind(str(folder / "named"))
        self.named.listen()

    def assert_untouched(self) -> None:
        assert self.object.read_bytes() == b"somebody's film"
        assert (self.work / "piece").read_bytes() == b"another job's"
        assert not (self.folder / "new").exists()

    def close(self) -> None:
        for each in (self.tcp, self.udp, self.abstract, self.named):
            each.close()


@pytest.fixture(scope="module")
def around(sibling: int, postgres: str) -> Iterator[Surroundings]:
    with tempfile.TemporaryDirectory(prefix="jail-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        around = Surroundings(Path(folder), postgres, sibling)
        yield around
        around.close()


Case = Callable[[Surroundings], tuple[Any, ...]]
PARENT = os.getpid()
FILES: dict[str, Case] = {
    "the worker's environment": lambda _: ("read", f"/proc/{PARENT}/environ"),
    "the worker's memory": lambda _: ("read", f"/proc/{PARENT}/mem"),
    "the worker's map": lambda _: ("read", f"/proc/{PARENT}/maps"),
    "the worker's files": lambda _: ("names", f"/proc/{PARENT}/fd"),
    "a sibling's environment": lambda around: ("read", f"/proc/{around.sibling}/environ"),
    "the first process's environment": lambda _: ("read", "/proc/1/environ"),
    "its own environment": lambda _: ("read", "/proc/self/environ"),
    "a way around": lambda _: ("read", f"/proc/self/../{PARENT}/environ"),
    "users": lambda _: ("read", "/etc/passwd"),
    "another job's film": lambda around: ("read", str(around.object)),
    "another job's film, replaced": lambda around: ("write", str(around.object)),
    "names of objects": lambda around: ("names", str(around.object.parents[2])),
    "another job's piece": lambda around: ("read", str(around.work / "piece")),
    "another job's piece, replaced": lambda around: ("write", str(around.work / "piece")),
    "the database's folder": lambda around: ("names", str(around.database_folder)),
    "all names": lambda _: ("names", "/"),
    "names of temporary files": lambda _: ("names", tempfile.gettempdir()),
    "a file beside its own": lambda around: ("write", str(around.folder / "new")),
    "a file in shared memory": lambda _: ("write", "/dev/shm/new"),
    "a device": lambda _: ("read", "/dev/null"),
    "our code": lambda _: ("read", __file__),
    "a library": lambda _: ("read", os.__file__),
    "a program": lambda _: ("read", sys.executable),
}
NETWORK: dict[str, Case] = {
    "TCP": lambda around: ("connect", INET, STREAM, list(around.tcp.getsockname())),
    "a port of its own": lambda _: ("listen",),
    "an abstract socket": lambda _: ("connect", UNIX, STREAM, f"\0framefleet-test-{PARENT}"),
}
SIGNALS: dict[str, Case] = {
    "a signal to the worker": lambda _: ("kill", PARENT, 0),
    "a signal to a sibling": lambda around: ("kill", around.sibling, 0),
    "a signal to the first process": lambda _: ("kill", 1, 0),
    "tracing the worker": lambda _: ("trace", PARENT),
    "tracing a sibling": lambda around: ("trace", around.sibling),
    "the worker's descriptors": lambda _: ("take_descriptor", PARENT),
}
LINKS: dict[str, Case] = {
    "a symbolic link": lambda around: ("symlink", str(around.mine / "a")),
    "a hard link": lambda around: ("link", str(around.mine / "b")),
    "a FIFO": lambda around: ("fifo", str(around.mine / "c")),
    "a device file": lambda around: ("device", str(around.mine / "d")),
}
CALLS: dict[str, Case] = {
    "the database": lambda around: ("connect", UNIX, STREAM, str(around.database_folder / ".s.PGSQL.5432")),
    "a named socket": lambda around: ("connect", UNIX, STREAM, str(around.folder / "named")),
    "UDP": lambda around: ("send_to", list(around.udp.getsockname())),
    "netlink": lambda _: ("socket", NETLINK, RAW),
    "packets": lambda _: ("socket", PACKET, RAW),
    "the host of a virtual machine": lambda _: ("socket", VSOCK, STREAM),
    "a pair of sockets": lambda _: ("socketpair",),
    "a signal to everybody": lambda _: ("kill_group",),
    "a queued signal": lambda _: ("queue_signal", PARENT),
    "a signal that a channel sends": lambda _: ("signal_of_a_pipe", PARENT),
    "a channel's signal of its choice": lambda _: ("number_of_a_signal", 9),
    "the worker's memory by a call": lambda _: ("read_memory", PARENT),
    "the worker's handle": lambda _: ("find_process", PARENT),
    "a fork": lambda _: ("fork",),
    "a vfork": lambda _: ("vfork",),
    "another program": lambda _: ("run_program",),
    "another program beside it": lambda _: ("spawn",),
    "a process with namespaces": lambda _: ("clone_namespace",),
    "a program with its owner's rights": lambda around: ("chmod", str(around.mine / "e")),
    "io_uring": lambda _: ("io_uring",),
    "bpf": lambda _: ("bpf",),
    "userfaultfd": lambda _: ("userfaultfd",),
    "keys": lambda _: ("keyctl",),
    "a key": lambda _: ("add_key",),
    "performance counters": lambda _: ("perf",),
    "a mount": lambda around: ("mount", str(around.mine)),
    "a mount of the new kind": lambda _: ("new_mount",),
    "namespaces": lambda _: ("unshare",),
    "somebody's namespace": lambda _: ("setns", 0),
    "another root": lambda around: ("chroot", str(around.mine)),
    "a file by its handle": lambda _: ("open_by_handle",),
    "a file in memory": lambda _: ("memfd",),
    "higher limits": lambda _: ("raise_limit",),
}
WITH = [(ALL, "all layers"), (IN_A_CONTAINER, "as in a container")]


CASES = FILES | NETWORK | SIGNALS | LINKS | CALLS
Answers = dict[frozenset[Layer], dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def answers(hostile: Hostile, around: Surroundings) -> Answers:
    """What each case came to, by the layers that are there."""
    found: Answers = {}
    for layers in (ALL, IN_A_CONTAINER, *ALONE.values()):
        told = hostile.tries_all([case(around) for case in CASES.values()], around.mine, layers=layers)
        assert set(told["layers"]) >= layers - {Layer.NAMESPACES}  # where those are allowed is the machine's to say
        found[layers] = dict(zip(CASES, told["answers"], strict=True))
        if len(layers) > 1:
            around.assert_untouched()
        for path in around.mine.iterdir():
            path.unlink()
    return found


def assert_refused(answer: dict[str, Any], layers: frozenset[Layer]) -> None:
    assert answer["got"] is None
    assert answer["errno"] in (REFUSED | ABSENT if Layer.NAMESPACES in layers else REFUSED), answer


@pytest.mark.parametrize("layers", [layers for layers, _ in WITH], ids=[name for _, name in WITH])
@pytest.mark.parametrize("what", CASES)
def test_code_in_the_media_process_does_not_get(answers: Answers, what: str, layers: frozenset[Layer]) -> None:
    assert_refused(answers[layers][what], layers)


@pytest.mark.parametrize("what", [*FILES, *NETWORK, *SIGNALS, *LINKS])
def test_landlock_alone_keeps_from_it(answers: Answers, what: str) -> None:
    assert_refused(answers[ALONE[Layer.LANDLOCK]][what], ALONE[Layer.LANDLOCK])


@pytest.mark.parametrize("what", [*NETWORK, *SIGNALS, *LINKS, *CALLS])
def test_the_filter_alone_keeps_from_it(answers: Answers, what: str) -> None:
    assert_refused(answers[ALONE[Layer.SECCOMP]][what], ALONE[Layer.SECCOMP])


def test_without_any_layer_it_would_get_them(answers: Answers, hostile: Hostile, around: Surroundings) -> None:
    """The attempts are real ones."""
    tried = [what for what in CASES if what in OPEN_WITHOUT]
    told = hostile.tries_all([CASES[what](around) for what in tried], around.mine, layers=NONE)["answers"]
    assert [what for what, answer in zip(tried, told, strict=True) if answer["got"] is None] == []


def test_it_gets_what_it_needs(hostile: Hostile, around: Surroundings) -> None:
    for attempt in (("write", str(around.mine / "result")), ("read", str(around.mine / "result"))):
        assert hostile.tries(*attempt, folder=around.mine)["got"] is not None


def test_it_is_the_same_for_a_user_who_is_not_root(hostile: Hostile, around: Surroundings) -> None:
    found = as_nobody(around.folder)
    assert set(found) == {"all layers", "as in a container", "none"}
    for layers, tried in found.items():
        assert {what: answer for what, answer in tried.items() if answer["got"] is not None} == {}, layers


# Root's own folder is closed to others; where Python lies in it, they see a copy of it with nothing but that.
OPENED = """set -e
mount --bind "$BASE" "$PLACE/base"
mount -t tmpfs -o mode=755 none "$HOME_OF_ROOT"
mkdir -p "$BASE"
mount --bind "$PLACE/base" "$BASE"
exec "$@"
"""


def as_nobody(folder: Path) -> dict[str, dict[str, Any]]:
    """What a worker that runs as nobody sees of its media process."""
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    if os.geteuid() != 0 or setpriv is None or unshare is None:
        pytest.skip("only root can become nobody, with setpriv and unshare of util-linux")
    folder.chmod(0o711)
    place = folder / "of-nobody"
    (place / "base").mkdir(parents=True)
    os.chown(place, 65534, 65534)
    user = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    home = Path("~root").expanduser()
    if Path(sys.base_prefix).is_relative_to(home):
        user = [unshare, "--mount", "sh", "-c", OPENED, "opened", *user]
    environment = os.environ | {
        "TMPDIR": str(place),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "BASE": sys.base_prefix,
        "PLACE": str(place),
        "HOME_OF_ROOT": str(home),
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*user, *command], cwd="/", env=environment, capture_output=True, text=True, timeout=60)

    if run(sys.executable, "-c", "import av, tests.integration").returncode:
        pytest.skip("nobody may read neither this Python nor these tests: put them where everybody may")
    done = run(sys.executable, "-m", "tests.integration.jail.as_nobody", str(place))
    assert done.returncode == 0, done.stderr
    answers: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return answers
