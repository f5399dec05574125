"""The BIOS of real-mode guests, asked by one: every service, every register.

The references are Ralf Brown's Interrupt List and ACPI 6.5, 15.1.
"""

from __future__ import annotations

import datetime

import pytest

from boot.real_mode import BUFFER, PATTERN, ZF, Call, RealModeGuest, ask, assemble, plan
from hvmlite.engines import qemu
from hvmlite.guest import bios
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import RunOptions

pytestmark = pytest.mark.boot
MIB, GIB = 1 << 20, 1 << 30
SMAP = 0x534D4150


def low(name, value):
    """A 32-bit register whose low half is an answer."""
    return PATTERN[name] & ~0xFFFF | value


def e820(token, size=20, signature=SMAP):
    return Call(0x15, {"eax": 0xE820, "ebx": token, "ecx": size, "edx": signature})


@pytest.mark.parametrize("memory", [1 * MIB, 64 * MIB, 6 * GIB])
def test_the_memory_map_is_the_plans(tmp_path, memory):
    machine = qemu.machine(memory, 1)
    told = plan(b"\x90", machine).boot_info.memory_map
    calls = [e820(token, size) for size in (20, 24, 0xFFFFFFFF) for token in range(len(told))]
    made, answers = ask(tmp_path, *calls, machine=machine)
    assert made.boot_info.memory_map == told == bios.memory_map(PlanMemory(made))
    for call, answer, range_ in zip(calls, answers, told * 3, strict=True):
        token, size = call.registers["ebx"], call.registers["ecx"]
        record = [range_.start.to_bytes(8, "little"), range_.size.to_bytes(8, "little")]
        record.append(range_.type.to_bytes(4, "little"))
        if size >= 24:
            record.append(b"\1\0\0\0")
        data = b"".join(record)
        assert answer.buffer == data + BUFFER[len(data) :]
        assert not answer.carry
        assert answer.kept
        wanted = {"eax": SMAP, "ebx": 0 if token == len(told) - 1 else token + 1}
        if token == 0 and wanted["ebx"] == 0:
            del wanted["ebx"]
        if size > 24:
            wanted["ecx"] = 24
        assert answer.changed == wanted


def test_wrong_questions_about_the_memory_map_are_refused(tmp_path):
    end = len(plan(b"\x90", qemu.machine(64 * MIB, 1)).boot_info.memory_map)
    calls = [e820(end), e820(0x10000), e820(0xFFFFFFFF), e820(0, 19), e820(0, 0)]
    calls.append(e820(0, signature=0x50414D53))
    for answer in ask(tmp_path, *calls)[1]:
        assert answer.carry
        assert answer.changed == {"eax": 0x8620}
        assert answer.buffer == BUFFER
        assert answer.kept


@pytest.mark.parametrize(
    ("memory", "below", "above", "extended"),
    [
        (1 * MIB, 0, 0, 0),
        (2 * MIB, 1 << 10, 0, 1 << 10),
        (16 * MIB, 15 << 10, 0, 15 << 10),
        (48 * MIB, 15 << 10, 32 << 4, 47 << 10),
        (6 * GIB, 15 << 10, (2048 - 16) << 4, 63 << 10),
    ],
)
def test_the_older_questions_about_memory(tmp_path, memory, below, above, extended):
    calls = [Call(0x12, {}), Call(0x15, {"eax": 0xE801}), Call(0x15, {"eax": 0x8800})]
    machine = qemu.machine(memory, 1)
    base, sizes, old = ask(tmp_path, *calls, machine=machine)[1]
    assert base.changed == {"eax": low("eax", 0x9B000 >> 10)}
    assert not sizes.carry
    wanted = {"ebx": low("ebx", above), "edx": low("edx", above), "ecx": low("ecx", below)}
    assert sizes.changed == wanted | {"eax": below}
    assert not old.carry
    assert old.changed == ({} if extended == 0x8800 else {"eax": extended})


# (vector, eax, registers that the answer changes, whether CF is cleared (False), set or left alone)
SERVICES = {
    "teletype": (0x10, 0x0E0A, {}, None),
    "cursor": (0x10, 0x0300, {"ecx": low("ecx", 0x0607), "edx": low("edx", 0)}, None),
    "mode": (0x10, 0x0F00, {"eax": 0x5003, "ebx": low("ebx", PATTERN["ebx"] & 0xFF)}, None),
    "set mode": (0x10, 0x0003, {}, None),
    "EGA": (0x10, 0x1200, {}, None),
    "VGA": (0x10, 0x1A00, {}, None),
    "VBE": (0x10, 0x4F00, {}, None),
    "equipment": (0x11, 0, {"eax": 0x0222}, None),
    "reset drives": (0x13, 0x0000, {"eax": 0x0100}, True),
    "read drive": (0x13, 0x0201, {"eax": 0x0101}, True),
    "drive parameters": (0x13, 0x0800, {"eax": 0x0100}, True),
    "drive type": (0x13, 0x1500, {"eax": 0x0100}, True),
    "drive extensions": (0x13, 0x4100, {"eax": 0x0100}, True),
    "A20 off": (0x15, 0x2400, {"eax": 0x8600}, True),
    "A20 on": (0x15, 0x2401, {"eax": 0x0001}, False),
    "A20 status": (0x15, 0x2402, {"eax": 0x0001}, False),
    "A20 support": (0x15, 0x2403, {"eax": 0x0003, "ebx": low("ebx", 0)}, False),
    "APM": (0x15, 0x5300, {"eax": 0x8600}, True),
    "configuration": (0x15, 0xC000, {"eax": 0x8600}, True),
    "EBDA": (0x15, 0xC100, {"eax": 0x8600}, True),
    "SpeedStep": (0x15, 0xE980, {"eax": 0x8680}, True),
    "processor mode": (0x15, 0xEC00, {"eax": 0x0000}, False),
    "unknown": (0x15, 0xFFFF, {"eax": 0x86FF}, True),
    "no key": (0x16, 0x0100, {}, None),
    "no key, extended": (0x16, 0x1100, {}, None),
    "shift keys": (0x16, 0x02AA, {"eax": 0x0200}, None),
    "shift keys, extended": (0x16, 0x12AA, {"eax": 0x0000}, None),
    "key rate": (0x16, 0x0305, {}, None),
    "PCI": (0x1A, 0xB101, {"eax": 0x8601}, True),
    "set clock": (0x1A, 0x0300, {"eax": 0x8600}, True),
}


def test_services(tmp_path):
    calls = [Call(vector, {"eax": eax}) for vector, eax, _, _ in SERVICES.values()]
    found = dict(zip(SERVICES, ask(tmp_path, *calls)[1], strict=True))
    for name, (_, _, changed, carry) in SERVICES.items():
        answer = found[name]
        assert (name, answer.changed) == (name, changed)
        assert (name, answer.carry) == (name, True if carry is None else carry)
        assert (name, answer.kept, answer.buffer) == (name, True, BUFFER)
        assert (name, answer.said) == (name, b"\n" if name == "teletype" else b"")
        assert bool(answer.flags & ZF)


def test_every_vector_comes_back(tmp_path):
    """With nothing changed where nothing was asked: AX holds a function that nobody has."""
    calls = [Call(vector, {}) for vector in range(256) if vector not in (0x11, 0x12, 0x13, 0x15)]
    calls += [Call(vector, {"eax": PATTERN["eax"] & ~0xFF00 | 0x8600}) for vector in (0x15, 0x1A)]
    for call, answer in zip(calls, ask(tmp_path, *calls)[1], strict=True):
        unknown = call.vector == 0x1A and not call.registers
        assert (call, answer.changed) == (call, {"eax": 0xA7B786D7} if unknown else {})
        assert (call, answer.kept, answer.buffer) == (call, True, BUFFER)
        assert answer.said == b""


def test_the_teletype_writes_every_byte(tmp_path):
    text = bytes(range(256)) * 3
    calls = [Call(0x10, {"eax": 0x0E00 | byte}) for byte in text]
    with RealModeGuest(tmp_path, calls, qemu.machine(64 * MIB, 1)) as guest:
        answers = [guest.answer() for _ in calls]
    assert b"".join(answer.said for answer in answers) == text
    assert all(not answer.changed for answer in answers)


@pytest.mark.parametrize("extended", [0x00, 0x10])
def test_keys_come_from_the_serial_port(tmp_path, extended):
    take, peek = (Call(0x16, {"eax": (extended + n) << 8 | 0xAA}) for n in (0, 1))
    calls = [peek, take, peek, take, peek, peek, take, peek]
    with RealModeGuest(tmp_path, calls, qemu.machine(64 * MIB, 1)) as guest:
        assert guest.answer().flags & ZF
        guest.session.console.write(b"k")
        assert guest.answer().changed == {"eax": ord("k")}
        assert guest.answer().flags & ZF
        guest.session.console.write(b"\xff\r")
        assert guest.answer().changed == {"eax": 0xFF}
        for _ in range(2):  # a look does not take it
            answer = guest.answer()
            assert not answer.flags & ZF
            assert answer.changed == {"eax": 0x0D}
        assert guest.answer().changed == {"eax": 0x0D}
        assert guest.answer().flags & ZF
        assert guest.session.wait(30).status == 0


def test_the_clock_is_the_hosts(tmp_path):
    calls = [Call(0x1A, {"eax": function << 8 | 0xAA}) for function in (2, 4, 0)]
    before = datetime.datetime.now(datetime.UTC)
    time, date, ticks = ask(tmp_path, *calls)[1]
    after = datetime.datetime.now(datetime.UTC)
    for answer in (time, date, ticks):
        assert not answer.carry
        assert answer.kept
        assert answer.changed.keys() == {"ecx", "edx"} | ({"eax"} if answer is ticks else set())
        assert answer.changed["ecx"] >> 16 == PATTERN["ecx"] >> 16
        assert answer.changed["edx"] >> 16 == PATTERN["edx"] >> 16
    assert ticks.changed["eax"] == 0
    halves = [a.changed[name] & 0xFFFF for a in (date, time) for name in ("ecx", "edx")]
    text = "".join(f"{half:04x}" for half in halves)  # they are BCD
    assert text.endswith("00")
    said = datetime.datetime.strptime(text[:-2], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    second = datetime.timedelta(seconds=1)
    assert before - second <= said <= after
    count = (ticks.changed["ecx"] & 0xFFFF) << 16 | ticks.changed["edx"] & 0xFFFF
    since_midnight = (said - said.replace(hour=0, minute=0, second=0)).seconds
    behind = (count * 65536 / 1193182 + 0.1 - since_midnight) % 86400
    assert behind <= (after - said).total_seconds() + 1


def test_the_timer_ticks_once_a_service_was_asked_for(tmp_path):
    """40:6C counts from the clock's time on, 18.2 times a second, and calls INT 1Ch each time."""
    code = assemble(tmp_path, TICKS)
    before = datetime.datetime.now(datetime.UTC)
    with qemu.start(plan(code, qemu.machine(64 * MIB, 1)), RunOptions("tcg")) as session:
        assert session.wait(60).status == 0
        said = b"".join(chunk.data for chunk in session.console.chunks)
    assert said[:1] == b"A"  # INT 10h
    hooked, first, last = (int.from_bytes(said[n : n + 4], "little") for n in (1, 5, 9))
    assert last - first == hooked >= 20
    since_midnight = (before - before.replace(hour=0, minute=0, second=0)).total_seconds()
    assert (first * 65536 / 1193182 - since_midnight + 1) % 86400 <= 60


TICKS = r"""
	.code16
	xor	%ax, %ax
	mov	%ax, %es
	movw	$hook, %es:4 * 0x1c
	mov	%cs, %es:4 * 0x1c + 2
	mov	$0x0e41, %ax
	int	$0x10
	sti
	hlt
	cli
	mov	%es:0x46c, %eax
	mov	%eax, first
	movl	$0, hooked
	sti
1:	hlt
	cmpl	$20, hooked
	jb	1b
	cli
	mov	%es:0x46c, %eax
	mov	%eax, last
	mov	$hooked, %si
	mov	$12, %cx
2:	lodsb
	mov	$0x3f8, %dx
	out	%al, %dx
	loop	2b
	mov	$0xf4, %dx
	xor	%ax, %ax
	out	%al, %dx
3:	jmp	3b
hook:	incl	%cs:hooked
	iret
hooked:	.long	0
first:	.long	0
last:	.long	0
"""
