/* SPDX-License-Identifier: MIT */
/*
 * INT 10h, INT 16h: a text console of 80 columns and 25 lines that is the first serial port.
 *
 * A function that is not here returns with all registers as they were. That is the right answer
 * for each by which adapters are looked for: 12h with BL 10h (EGA), 1Ah (VGA), 4F00h (VBE).
 */
#include "bios.h"

#define LSR		5		/* line status register of a 16550A */
#define LSR_READY	0x01		/* a byte was received */
#define LSR_EMPTY	0x20		/* the next one may be sent */

	.code16
	.text
	.globl	int10, int16

int10:
	call	wake
	cmp	$0x0e, %ah
	je	teletype
	cmp	$0x03, %ah
	je	cursor
	cmp	$0x0f, %ah
	je	mode
	iret

/* 0Eh: AL is written. */
teletype:
	call	send
	iret

/* 03h: a cursor of lines 6 to 7 in the upper left corner; where it really is nobody knows. */
cursor:
	mov	$0x0607, %cx
	xor	%dx, %dx
	iret

/* 0Fh: mode 3, 80 columns, page 0. */
mode:
	mov	$0x5003, %ax
	xor	%bh, %bh
	iret

int16:
	call	wake
	cmp	$0x00, %ah
	je	take
	cmp	$0x10, %ah
	je	take
	cmp	$0x01, %ah
	je	peek
	cmp	$0x11, %ah
	je	peek
	cmp	$0x02, %ah
	je	shift
	cmp	$0x12, %ah
	je	shift_extended
	iret

/* 00h, 10h: wait for a key, AL is its character. Without a serial port there will never be one. */
take:
	call	look
	cmpb	$0, %cs:waiting
	jne	1f
	push	%dx
	call	port
	pop	%dx
	jnz	take
	xor	%ax, %ax
	iret
1:	movb	$0, %cs:waiting
	jmp	character

/* 01h, 11h: ZF says that there is no key, else it is as above, but stays. */
peek:
	call	look
	push	%bp
	mov	%sp, %bp
	andw	$~FLAG_ZF, FLAGS(%bp)
	cmpb	$0, %cs:waiting
	jne	1f
	orw	$FLAG_ZF, FLAGS(%bp)
	pop	%bp
	iret
1:	pop	%bp

/* What comes over a line has no scan code. */
character:
	xor	%ah, %ah
	mov	%cs:key, %al
	iret

/* 12h, 02h: no shift key is down. */
shift_extended:
	xor	%ah, %ah
shift:
	xor	%al, %al
	iret

/* If no key waits yet but the port has one, take it from there. */
look:
	pusha
	cmpb	$0, %cs:waiting
	jne	1f
	call	port
	jz	1f
	add	$LSR, %dx
	in	%dx, %al
	cmp	$0xff, %al		/* nothing answers: there is no such port */
	je	1f
	test	$LSR_READY, %al
	jz	1f
	sub	$LSR, %dx
	in	%dx, %al
	mov	%al, %cs:key
	movb	$1, %cs:waiting
1:	popa
	ret

/* Write AL. It waits as long as the port's other end makes it: no byte is lost. */
send:
	pusha
	mov	%al, %bl
	call	port
	jz	2f
	add	$LSR, %dx
1:	in	%dx, %al
	test	$LSR_EMPTY, %al
	jz	1b
	sub	$LSR, %dx
	mov	%bl, %al
	out	%al, %dx
2:	popa
	ret

/* DX: the first serial port, ZF if there is none. */
port:
	push	%ds
	pushw	$BDA
	pop	%ds
	mov	BDA_COM1, %dx
	pop	%ds
	test	%dx, %dx
	ret

	.data
waiting:
	.byte	0
key:
	.byte	0
