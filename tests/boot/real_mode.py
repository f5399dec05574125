"""A real-mode guest that calls interrupts and says what came back, register by register.

It is assembled when it is needed. The calls are data behind the code; after each one the guest
writes a mark, all its registers and the 32 bytes that ES:DI pointed to. What is not asked for holds
a pattern of its own, so that a handler that changes it is seen.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass

from hvmlite.engines import qemu
from hvmlite.guest import acpi, bios
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, CpuState, Entry, Kind, Piece, Ref, RunOptions, SegmentRegister

AT = 0x10000
STACK = 0xFFF0
ORDER = ("edi", "esi", "ebp", "esp", "ebx", "edx", "ecx", "eax")  # as PUSHAL pushes them
PATTERN = {name: 0xA0B0C0D0 + 0x01010101 * n for n, name in enumerate(ORDER)}
BUFFER = b"\xa5" * 32
MARK = b"\x02answer\x03"
CF, ZF = 0x001, 0x040
FLAGS = 0x8D7  # CF PF AF ZF SF OF and the bit that is always 1: all set, IF and DF are not

SOURCE = r"""
	.code16
	mov	$buffer, %di
	mov	$cases, %bx
next:
	cld
	mov	$0xa5, %al
	mov	$buffer, %di
	mov	$32, %cx
	rep stosb
	mov	(%bx), %al
	mov	%al, call + 1
	movw	2(%bx), %ax
	mov	%ax, flags
	add	$4, %bx
	mov	%bx, at
	mov	%sp, stack
	mov	%bx, %sp
	popal
	mov	stack, %sp
	pushw	flags
	popfw
call:	int	$0
	pushfw
	cld
	pushal
	push	%ds
	push	%es
	push	%ss
	mov	$mark, %si
	mov	$8, %cx
	call	send
	mov	%sp, %si
	mov	$40, %cx	/* SS ES DS, PUSHAL, FLAGS */
	call	send
	mov	$buffer, %si
	mov	$32, %cx
	call	send
	add	$40, %sp
	mov	at, %bx
	add	$32, %bx
	decw	count
	jnz	next
	mov	$0xf4, %dx
	xor	%ax, %ax
	out	%al, %dx
1:	jmp	1b

send:
	mov	$0x3fd, %dx
1:	in	%dx, %al
	test	$0x20, %al
	jz	1b
	mov	$0x3f8, %dx
	lodsb
	out	%al, %dx
	loop	send
	ret

mark:	.ascii	"\002answer\003"
flags:	.word	0
stack:	.word	0
at:	.word	0
buffer:	.fill	32, 1, 0
	.balign	4
count:	.word	0
	.word	buffer
cases:
"""


@dataclass(frozen=True)
class Call:
    """One `INT`; registers that are not named hold their pattern, EDI is the buffer's address."""

    vector: int
    registers: dict[str, int]

    def values(self, buffer: int) -> dict[str, int]:
        return PATTERN | {"edi": PATTERN["edi"] & ~0xFFFF | buffer} | self.registers


@dataclass(frozen=True)
class Answer:
    said: bytes
    """What the handler wrote to the console."""
    changed: dict[str, int]
    """Registers that the call changed, segments and the stack pointer among them."""
    flags: int
    buffer: bytes

    @property
    def carry(self) -> bool:
        return bool(self.flags & CF)

    @property
    def kept(self) -> bool:
        """Whether flags other than the two that are answers are the caller's."""
        return self.flags & 0xFD5 & ~(CF | ZF) == FLAGS & 0xFD5 & ~(CF | ZF)


def assemble(folder, source: str = SOURCE) -> bytes:
    (folder / "guest.S").write_text(source)
    link = ["-Wl,-Ttext=0", "-Wl,--oformat=binary", "-Wl,--build-id=none", "-Wl,-e0"]
    command = ["gcc", "-m32", "-nostdlib", "-static", "-no-pie", *link, "guest.S", "-o", "guest"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "guest").read_bytes()


def plan(code: bytes, machine):
    """The plan of a real-mode guest at 1000:0 on our BIOS, with ACPI tables."""
    data = SegmentRegister(AT >> 4, AT)
    cpu = CpuState(
        cs=SegmentRegister(AT >> 4, AT, type=0xB),
        ds=data,
        es=data,
        fs=data,
        gs=data,
        ss=data,
        rsp=STACK,
        idtr=bios.IDTR,
    )
    pieces = (
        Piece("code", code, Kind.CODE, at=AT),
        *bios.pieces(machine, Ref(acpi.RSDP)),
        *acpi.tables(machine),
    )
    return place(Entry("real mode", pieces, cpu), machine, BootInfo())


class RealModeGuest:
    """A guest that makes `calls`, one after the other; a context manager."""

    def __init__(self, folder, calls, machine) -> None:
        code = assemble(folder)
        count, self._buffer = struct.unpack("<HH", code[-4:])
        assert count == 0
        data = b""
        for call in calls:
            values = call.values(self._buffer)
            data += struct.pack("<HH8I", call.vector, FLAGS, *(values[name] for name in ORDER))
        code = code[:-4] + struct.pack("<HH", len(calls), self._buffer) + data
        assert len(code) < 0xF000, "code and stack share 64 KiB"
        self._calls = iter(calls)
        self.plan = plan(code, machine)

    def __enter__(self):
        self.session = qemu.start(self.plan, RunOptions("tcg"))
        return self

    def __exit__(self, *error):
        self.session.close()

    def answer(self, timeout: float = 60) -> Answer:
        """The answer to the next call."""
        found = self.session.console.expect(rb"(?s)(.*?)" + MARK + rb"(.{72})", timeout)
        segments, found_general = found[2][:6], found[2][6:38]
        (flags,) = struct.unpack("<H", found[2][38:40])
        got = dict(zip(ORDER, struct.unpack("<8I", found_general), strict=True))
        got |= zip(("ss", "es", "ds"), struct.unpack("<3H", segments), strict=True)
        sent = next(self._calls).values(self._buffer) | {"esp": STACK - 2}  # FLAGS are pushed
        sent |= dict.fromkeys(("ss", "es", "ds"), AT >> 4)
        changed = {name: value for name, value in got.items() if value != sent[name]}
        return Answer(found[1], changed, flags, found[2][40:])


def ask(folder, *calls: Call, machine=None):
    """Run the calls one after the other; returns the plan and the answers."""
    with RealModeGuest(folder, calls, machine or qemu.machine(64 << 20, 1)) as guest:
        found = [guest.answer() for _ in calls]
        assert guest.session.wait(30).status == 0
    return guest.plan, found
