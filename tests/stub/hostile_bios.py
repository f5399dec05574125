"""A BIOS that keeps to the letter and to nothing more, between SeaBIOS and a boot sector.

It is a boot sector itself. It stays in memory, hooks interrupts, and starts another disk with
registers and flags as no BIOS leaves them. After each service all is garbage that is no answer; A20
is off, and not its business; it writes more of a memory map's record than it was asked for.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = r"""
	.code16
#define RESIDENT 0x9000
start:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x7c00, %sp
	cld
	mov	$RESIDENT, %ax
	mov	%ax, %es
	mov	$0x7c00, %si
	xor	%di, %di
	mov	$512, %cx
	rep movsb
	ljmp	$RESIDENT, $moved

moved:	.irp	vector, 0x10, 0x13, 0x15
	movl	\vector * 4, %eax
	movl	%eax, %es:old\vector
	movw	$new\vector, \vector * 4
	movw	%cs, \vector * 4 + 2
	.endr
	push	%cs
	pop	%ds
	mov	$DRIVE, %dl
	mov	$packet, %si
	mov	$0x42, %ah
	pushfw
	lcallw	*%cs:old0x13
	in	$0x92, %al		/* A20 is off */
	and	$0xfc, %al
	out	%al, $0x92
	call	garbage
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	$0x8000, %ax
	mov	%ax, %ss
	mov	$0x7ffd, %sp
	mov	$0xffff, %dx
	std
	ljmp	$0x07c0, $0

/* All but EAX, FLAGS and the segments. */
garbage:
	movl	$0xbad1bad1, %ebx
	movl	$0xbad2bad2, %ecx
	movl	$0xbad3bad3, %edx
	movl	$0xbad4bad4, %esi
	movl	$0xbad5bad5, %edi
	movl	$0xbad6bad6, %ebp
segments:
	push	$0x4242
	pop	%ds
	push	$0x2424
	pop	%es
	std
	ret

new0x10:
	pushfw
	lcallw	*%cs:old0x10
	call	segments
	movl	$0xbad6bad6, %ebp
	movl	$0xbad4bad4, %esi
	lretw	$2

new0x13:
#if BLOCK != 512
	cmp	$0x42, %ah
	jne	1f
	cmp	$DRIVE, %dl
	jne	1f
	movw	2(%si), %cx
	shl	$3, %cx
	movw	%cx, %cs:packet + 2
	movl	4(%si), %ecx
	movl	%ecx, %cs:packet + 4
	movl	8(%si), %ecx
	shll	$3, %ecx
	movl	%ecx, %cs:packet + 8
	push	%cs
	pop	%ds
	mov	$packet, %si
1:
#endif
	cmp	$0x42, %ah
	jne	2f
	pushfw
	lcallw	*%cs:old0x13
	call	garbage
	lretw	$2
2:	pushfw				/* other functions answer in registers */
	lcallw	*%cs:old0x13
	call	segments
	movl	$0xbad6bad6, %ebp
	lretw	$2

new0x15:
	cmp	$0xe820, %ax
	je	1f
	cmp	$0x2401, %ax		/* A20 is none of its business */
	je	4f
	pushfw
	lcallw	*%cs:old0x15
	push	%ds
	push	%es
	call	segments
	movl	$0xbad6bad6, %ebp
	movl	$0xbad4bad4, %esi
	pop	%es
	pop	%ds
	lretw	$2
4:	stc
	mov	$0x86, %ah
	lretw	$2
1:
#if E820 == 0			/* there is no such service */
	jmp	4b
#else
	movl	$20, %ecx
	pushfw
	lcallw	*%cs:old0x15
	pushfw
	movl	$0xbad7bad0, %es:20(%di)	/* more than it was asked for: to be ignored, if believed */
#if E820 == 1			/* it always has one more record */
	testl	%ebx, %ebx
	jnz	2f
	incl	%ebx
2:
#elif E820 == 2			/* nor is it known who answers */
	movl	$0xe820, %eax
#endif
	movl	$0xbad3bad3, %edx
	movl	$0xbad6bad6, %ebp
	push	%bx
	call	segments
	pop	%bx
	popfw
	movl	$24, %ecx
	std
	lretw	$2
#endif

	.balign	4
packet:	.word	16, BLOCK / 512
	.long	0x7c00
	.quad	0
	.irp	vector, 0x10, 0x13, 0x15
old\vector:
	.long	0
	.endr
	.org	510
	.word	0xaa55
"""


def make(folder: Path, block: int = 512, e820: int = 3, number: int = 0x81) -> Path:
    """A disk with it, to be the first one.

    :param block: bytes of a block of the disk that it starts
    :param e820: 0: it has none, 1: it has no last record, 2: its answers lack the signature
    :param number: the BIOS's one of the disk that it starts
    """
    (folder / "hostile.S").write_text(SOURCE)
    link = ["-Wl,-Ttext=0", "-Wl,--oformat=binary", "-Wl,--build-id=none", "-Wl,-e0"]
    command = ["gcc", "-m32", "-nostdlib", "-static", "-no-pie", f"-DBLOCK={block}"]
    command += [f"-DE820={e820}", f"-DDRIVE={number}", *link, "hostile.S", "-o", "hostile"]
    subprocess.run(command, check=True, cwd=folder)
    path = folder / "hostile"
    path.write_bytes(path.read_bytes().ljust(1 << 20, b"\0"))
    return path
