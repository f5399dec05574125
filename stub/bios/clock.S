/* SPDX-License-Identifier: MIT */
/* INT 08h, 1Ah: ticks of the timer, and the time, which the battery-backed clock keeps. */
#include "bios.h"

#define SECONDS		0x00
#define MINUTES		0x02
#define HOURS		0x04
#define DAY		0x07
#define MONTH		0x08
#define YEAR		0x09
#define STATUS_A	0x0a
#define CENTURY		0x32
#define UPDATING	0x80		/* of STATUS_A: the clock is about to change */

#define PIT_HZ		1193182		/* a tick is 65536 of its periods */
#define DAY_TICKS	0x1800b0	/* in 24 hours */

	.code16
	.text
	.globl	int8, int1a

/* IRQ 0: one more tick at 40:6C, where ticks since midnight are counted. INT 1Ch may be a guest's. */
int8:
	pushal
	push	%ds
	pushw	$BDA
	pop	%ds
	movl	BDA_TICKS, %eax
	testl	%eax, %eax
	jnz	1f
	call	since_midnight		/* nobody has counted yet */
1:	incl	%eax
	cmpl	$DAY_TICKS, %eax
	jb	2f
	xorl	%eax, %eax
2:	movl	%eax, BDA_TICKS
	int	$0x1c
	mov	$0x20, %al
	out	%al, $0x20
	pop	%ds
	popal
	iret

int1a:
	call	wake
	cmp	$0x00, %ah
	je	ticks
	cmp	$0x02, %ah
	je	time
	cmp	$0x04, %ah
	je	date
	jmp	unsupported

/*
 * 00h, CX:DX: ticks since midnight, of which there are about 18.2 in a second; AL: no new day. By
 * the clock and not by 40:6C: it goes on where interrupts are off.
 */
ticks:
	pushl	%eax
	call	since_midnight
	jc	1f
	mov	%ax, %dx
	shrl	$16, %eax
	mov	%ax, %cx
	popl	%eax
	xor	%al, %al
	jmp	done
1:	popl	%eax
	jmp	unsupported

/* EAX: ticks since midnight by the clock; CF, and EAX is 0, if there is none. */
since_midnight:
	pushl	%ebx
	pushl	%ecx
	pushl	%edx
	call	read_time
	jc	1f
	mov	%ch, %al
	call	binary
	imul	$60, %eax, %ebx
	mov	%cl, %al
	call	binary
	addl	%eax, %ebx
	imul	$60, %ebx, %ebx
	mov	%dh, %al
	call	binary
	addl	%ebx, %eax
	movl	$PIT_HZ, %ebx
	mull	%ebx
	shrdl	$16, %edx, %eax
	clc
	jmp	2f
1:	xorl	%eax, %eax
	stc
2:	popl	%edx
	popl	%ecx
	popl	%ebx
	ret

/* 02h, CH CL DH: hours, minutes, seconds in BCD; DL: no daylight saving time. */
time:
	push	%ax
	push	%cx
	push	%dx
	call	read_time
	jc	no_clock
	xor	%dl, %dl
	jmp	clock

/* 04h, CH CL DH DL: century, year, month, day in BCD. */
date:
	push	%ax
	push	%cx
	push	%dx
	call	stable
	jc	no_clock
1:	mov	$DAY, %al
	call	cmos
	mov	%al, %dl
	mov	$MONTH, %al
	call	cmos
	mov	%al, %dh
	mov	$YEAR, %al
	call	cmos
	mov	%al, %cl
	mov	$CENTURY, %al
	call	cmos
	mov	%al, %ch
	mov	$DAY, %al
	call	cmos
	cmp	%dl, %al
	jne	1b
/* CX and DX are the answer, AX is not. */
clock:
	add	$4, %sp
	pop	%ax
	jmp	done

no_clock:
	pop	%dx
	pop	%cx
	pop	%ax
	jmp	unsupported

/* CH, CL, DH as above, CF if there is no clock; changes AL. Read again if a second went by. */
read_time:
	call	stable
	jc	2f
1:	mov	$HOURS, %al
	call	cmos
	mov	%al, %ch
	mov	$MINUTES, %al
	call	cmos
	mov	%al, %cl
	mov	$SECONDS, %al
	call	cmos
	mov	%al, %dh
	mov	$SECONDS, %al
	call	cmos
	cmp	%dh, %al
	jne	1b
	clc
2:	ret

/* Wait while the clock is changing; CF if it never ends, because there is none. Changes AL. */
stable:
	push	%cx
	xor	%cx, %cx
1:	mov	$STATUS_A, %al
	call	cmos
	test	$UPDATING, %al		/* clears CF */
	jz	2f
	loop	1b
	stc
2:	pop	%cx
	ret

/* AL: the byte of CMOS RAM that it names. */
cmos:
	out	%al, $0x70
	in	$0x71, %al
	ret

/* EAX: the number that AL is in BCD. */
binary:
	mov	%al, %ah
	shr	$4, %ah
	and	$0x0f, %al
	aad
	movzwl	%ax, %eax
	ret
