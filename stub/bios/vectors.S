/* SPDX-License-Identifier: MIT */
/* Which handler each of the 256 vectors has, and the handlers that do next to nothing. */

	.code16
	.text

/*
 * Called by services first. Whoever asks a BIOS may wait for its timer, by HLT or at 40:6C: with the
 * first question IRQ 0 and the second 8259's way through the first are let in, once. A guest that
 * asks nothing has no interrupts.
 */
	.globl	wake
wake:
	cmpb	$0, %cs:awake
	jne	1f
	movb	$1, %cs:awake
	push	%ax
	in	$0x21, %al
	and	$~0x05, %al
	out	%al, $0x21
	pop	%ax
1:	ret

/* Interrupts of the first 8259, and of the second behind it: they are over. */
irq_low:
	push	%ax
	mov	$0x20, %al
	out	%al, $0x20
	pop	%ax
	iret

irq_high:
	push	%ax
	mov	$0x20, %al
	out	%al, $0xa0
	out	%al, $0x20
	pop	%ax
	iret

nothing:
	iret

	.macro	handlers first, last, handler
	.if	. - vectors - 2 * \first
	.error	"the vectors are out of order"
	.endif
	.rept	\last - \first + 1
	.word	\handler
	.endr
	.endm

	.data
awake:
	.byte	0

	.section .vectors, "a"
	.globl	vectors, vectors_end
vectors:
	handlers 0x00, 0x07, nothing
	handlers 0x08, 0x08, int8
	handlers 0x09, 0x0f, irq_low
	handlers 0x10, 0x10, int10
	handlers 0x11, 0x11, int11
	handlers 0x12, 0x12, int12
	handlers 0x13, 0x13, int13
	handlers 0x14, 0x14, nothing
	handlers 0x15, 0x15, int15
	handlers 0x16, 0x16, int16
	handlers 0x17, 0x19, nothing
	handlers 0x1a, 0x1a, int1a
	handlers 0x1b, 0x6f, nothing
	handlers 0x70, 0x77, irq_high
	handlers 0x78, 0xff, nothing
vectors_end:
