"""What a media process may take by default, and that an order of it crosses to the child whole."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from backend.media.jail import seccomp
from backend.media.jail.order import Jail, Layer, Mode
from backend.media.limits import Limits, fair_memory_bytes
from backend.settings import Settings


def test_memory_is_by_the_machine_unless_it_is_said() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert fair_memory_bytes() <= max(2**30, machine * 3 // 4)
    assert Limits.of(Settings()).memory_bytes == fair_memory_bytes()
    said = Settings.model_validate({"sandbox_memory_bytes": 12345})
    assert Limits.of(said).memory_bytes == 12345


def test_an_order_crosses_as_json() -> None:
    jail = Jail(Mode.BEST_EFFORT, 1, 2, 3, Path("/work"), frozenset({Layer.SECCOMP}))
    assert Jail.of_json(jail.as_json()) == jail
    assert Limits.of(Settings.model_validate({"media_jail": "off"})).jail(None).has(Layer.LANDLOCK) is False


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the numbers of calls here are those of x86-64: run it there"
)
def test_a_drivers_filter_allows_more_and_no_more_processes() -> None:
    """Jumps of classic BPF reach 255 instructions; a filter has 4096 at most."""
    plain, driver = seccomp.program(), seccomp.program(hardware=True)
    assert len(plain) < len(driver) + 20 < 4096
    assert answer(plain, 41) == answer(driver, 41) == seccomp.RET_ERRNO | 1  # socket
    assert answer(plain, 57) == answer(driver, 57) == seccomp.RET_ERRNO | 1  # fork
    assert answer(plain, 16, 0, 0xC020462A) != seccomp.RET_ALLOW  # a driver's ioctl
    assert answer(driver, 16, 0, 0xC020462A) == seccomp.RET_ALLOW
    assert answer(plain, 0) == answer(driver, 0) == seccomp.RET_ALLOW  # read
    assert answer(plain, 56, 0x3D0F00) == seccomp.RET_ALLOW  # a thread, as libc starts it
    assert answer(plain, 56, 0x3D0F00 | 0x20000) == seccomp.RET_ERRNO | 1  # with a namespace
    assert answer(plain, 1000) == answer(plain, 0x40000000) == seccomp.RET_ERRNO | 38  # newer; x32
    assert answer(plain, 0, arch=0x40000003) == seccomp.RET_KILL  # 32 bits


def answer(program: list[seccomp.Instruction], number: int, *arguments: int, arch: int = 0xC000003E) -> int:
    """As the kernel runs it, for calls of x86-64."""
    data = number.to_bytes(4, "little") + arch.to_bytes(4, "little") + bytes(8)
    data += b"".join(value.to_bytes(8, "little") for value in (*arguments, *(0,) * 6)[:6])
    held, at = 0, 0
    while True:
        code, when_true, when_false, operand = program[at]
        at += 1
        match code:
            case seccomp.LOAD:
                held = int.from_bytes(data[operand : operand + 4], "little")
            case seccomp.AND:
                held &= operand
            case seccomp.RETURN:
                return operand
            case seccomp.JUMP_EQUAL:
                at += when_true if held == operand else when_false
            case seccomp.JUMP_AT_LEAST:
                at += when_true if held >= operand else when_false
