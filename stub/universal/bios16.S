/* SPDX-License-Identifier: MIT */
/*
 * What 16-bit code needs of a PC: a line of text, the A20 gate, records of the memory map.
 *
 * A part of the stub and of the head. Offsets count from CS and data is read through it; DF is
 * clear. Segment registers and registers that hold no answer stay as they are, upper halves too.
 */
#include "bios16.h"

#define SMAP		0x534d4150

#define KBC_DATA	0x60		/* keyboard controller */
#define KBC_STATUS	0x64
#define KBC_ANSWER	0x01		/* of its status: a byte waits for us */
#define KBC_BUSY	0x02		/* it has not taken our last byte */
#define PORT92		0x92
#define PORT92_A20	0x02
#define PORT92_RESET	0x01
#define DELAY		0x80		/* a port to which writing takes a microsecond */

#define A20_PROBE	(0x80 * 4)	/* an interrupt vector that nobody uses: Linux tests there, too */
#define A20_TRIES	32
#define A20_TRIES_LONG	0xffff

	.code16
	.section .text16, "ax"
	.globl	put16, say16, hex16, complain16, end16, stop16, a20_on, e820_next

/*
 * Write the character AL. By INT 10h where a video adapter has a ROM. Elsewhere INT 10h is, if
 * anything, the firmware's own console on the serial port, so it is asked only if there is no such
 * port: each line shall come once.
 */
put16:
	pushal
	push	%ds
	push	%es
	xor	%cx, %cx
	mov	%cx, %ds
	out	%al, $DEBUG_CONSOLE
	mov	VECTOR_VIDEO + 1, %bl
	cmp	$VIDEO_ROM, %bl
	jb	1f
	cmp	$SYSTEM_ROM, %bl
	jae	1f
	call	put_video
1:	mov	%al, %ah
	mov	$COM1 + LSR, %dx
	in	%dx, %al
	cmp	$0xff, %al		/* nothing answers: there is no port */
	je	4f
2:	in	%dx, %al
	test	$LSR_EMPTY, %al
	jnz	3f
	loop	2b			/* 65536 times at most */
3:	mov	%ah, %al
	mov	$COM1, %dx
	out	%al, %dx
	jmp	5f
4:	mov	%ah, %al
	cmp	$VIDEO_ROM, %bl
	jb	6f
	cmp	$SYSTEM_ROM, %bl
	jb	5f			/* it was written there */
6:	call	put_video
5:	pop	%es
	pop	%ds
	popal
	ret

put_video:
	pusha
	mov	$0x0e, %ah
	mov	$0x0007, %bx
	int	$0x10
	cld
	popa
	ret

/* Write the string at CS:SI up to its NUL; SI is behind that then. */
say16:
	push	%ax
1:	lodsb	%cs:(%si), %al
	test	%al, %al
	jz	2f
	call	put16
	jmp	1b
2:	pop	%ax
	ret

/* Write EAX in hexadecimal: 0x1f. */
hex16:
	pushal
	movl	%eax, %edx
	mov	$'0', %al
	call	put16
	mov	$'x', %al
	call	put16
	mov	$8, %cx
1:	roll	$4, %edx		/* leading zeros are left out */
	cmp	$1, %cx
	je	2f
	test	$0x0f, %dl
	loopz	1b
	inc	%cx
2:	mov	%dl, %al
	and	$0x0f, %al
	add	$'0', %al
	cmp	$'9', %al
	jbe	3f
	add	$'a' - '9' - 1, %al
3:	call	put16
	roll	$4, %edx
	loop	2b
	popal
	ret

/* Begin a line, wherever the cursor is: "hvmlite: ", and the string at CS:SI. */
complain16:
	push	%si
	text16	"\r\nhvmlite: "
	call	say16
	pop	%si
	jmp	say16

/* The only string of a line, or its last one: and the end. */
stop16:
	call	complain16
	jmp	1f
end16:
	call	say16
1:	mov	$'\r', %al
	call	put16
	mov	$'\n', %al
	call	put16
	mov	$STOP_STATUS, %al
	out	%al, $STOP_PORT
2:	cli
	hlt
	jmp	2b

/* Open the A20 gate by whatever way works; CF: none does. Interrupts are off meanwhile. */
a20_on:
	pushal
	pushfw
	cli
	mov	$A20_TRIES, %cx
	call	a20_test
	jnc	2f
	push	%ds
	push	%es
	mov	$0x2401, %ax
	int	$0x15
	cld
	cli
	pop	%es
	pop	%ds
	mov	$A20_TRIES, %cx
	call	a20_test
	jnc	2f
	call	kbc_ready
	jc	1f
	mov	$0xd1, %al		/* write the controller's output port, in which A20 is bit 1 */
	out	%al, $KBC_STATUS
	call	kbc_ready
	mov	$0xdf, %al
	out	%al, $KBC_DATA
	call	kbc_ready
	mov	$0xff, %al		/* no command: some take the last byte only then */
	out	%al, $KBC_STATUS
	call	kbc_ready
	mov	$A20_TRIES_LONG, %cx
	call	a20_test
	jnc	2f
1:	in	$PORT92, %al
	or	$PORT92_A20, %al
	and	$~PORT92_RESET, %al
	out	%al, $PORT92
	mov	$A20_TRIES_LONG, %cx
	call	a20_test
	jnc	2f
	popfw
	stc
	popal
	ret
2:	popfw
	clc
	popal
	ret

/* CF: CX times the bytes a MiB apart were the same ones. */
a20_test:
	pushal
	push	%ds
	push	%es
	xor	%ax, %ax
	mov	%ax, %ds
	dec	%ax
	mov	%ax, %es
	movl	A20_PROBE, %ebx
	movl	%ebx, %edx
1:	incl	%edx
	movl	%edx, A20_PROBE
	out	%al, $DELAY
	cmpl	%edx, %es:A20_PROBE + 0x10
	loope	1b
	movl	%ebx, A20_PROBE		/* flags stay */
	clc
	jne	2f
	stc
2:	pop	%es
	pop	%ds
	popal
	ret

/* Wait until the keyboard controller listens and has nothing to say; CF: it never does. */
kbc_ready:
	pusha
	xor	%cx, %cx
	mov	$32, %bx		/* so often all bits may be set: there is no controller */
1:	out	%al, $DELAY
	in	$KBC_STATUS, %al
	cmp	$0xff, %al
	jne	2f
	dec	%bx
	jz	4f
2:	test	$KBC_ANSWER, %al
	jz	3f
	out	%al, $DELAY
	in	$KBC_DATA, %al
	loop	1b
	jmp	4f
3:	test	$KBC_BUSY, %al		/* clears CF */
	jz	5f
	loop	1b
4:	stc
5:	popa
	ret

/*
 * Ask for the record of the memory map that EBX tells, 0 for the first. It goes to ES:DI, where
 * there is room for 24 bytes: some firmware writes as many to whoever asks for 20. EBX tells the
 * next one, 0 after the last. CF: there was none, and EAX is 1 if all the earlier ones are nothing
 * worth as well (the answer is no answer to E820h), else 0.
 */
e820_next:
	pushl	%ecx
	pushl	%edx
	pushl	%esi
	pushl	%edi
	pushl	%ebp
	push	%ds
	push	%es
	push	%di
	xorl	%eax, %eax
	mov	$6, %cx
	rep stosl
	pop	%di
	movl	$0xe820, %eax
	movl	$20, %ecx
	movl	$SMAP, %edx
	int	$0x15
	cld
	pop	%es
	pop	%ds
	popl	%ebp
	popl	%edi
	popl	%esi
	popl	%edx
	popl	%ecx
	jc	1f
	cmpl	$SMAP, %eax
	je	2f			/* CF is clear */
	movl	$1, %eax
	stc
2:	ret
1:	movl	$0, %eax
	ret
