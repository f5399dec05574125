/* SPDX-License-Identifier: MIT */
/*
 * The stub in 16-bit mode: what Linux's setup code does, for the wrapped kernel.
 *
 * It runs from the head's copy of the stub, to which the head's entry at 0x200 jumps. It asks the
 * BIOS what only the BIOS knows, writes it into the head's zero page, and enters the 32-bit code at
 * code32_start by Linux's 32-bit protocol: `_start` once more. Documentation/arch/x86/boot.rst,
 * "Running the Kernel", "32-bit Boot Protocol".
 *
 * CS:0 is `_start`, DS:0 the beginning of the head, so that DS reads the setup header. Not asked for:
 * APM, SpeedStep's and MCA's BIOS calls, EDID, and other video modes than video16.S has.
 */
#include "bios16.h"

#define PAGE(offset)		HEAD_ZERO_PAGE + offset

#define HDRS			0x53726448
#define HEADER_START		0x1f1
#define HEADER_MOST		0x9f		/* up to 0x290 */
#define JUMP_DISTANCE		0x201		/* of the jump over the header: where it ends */
#define JUMP_END		0x202
#define HDRS_AT			0x202
#define REALMODE_SWTCH		0x208
#define CODE32_START		0x214

#define EXT_MEM_K		0x002
#define ALT_MEM_K		0x1e0
#define E820_ENTRIES		0x1e8
#define KBD_STATUS		0x1eb
#define E820_TABLE		0x2d0
#define E820_RECORD		20
#define E820_MAX		128

#define BOOT_CS			0x10
#define BOOT_DS			0x18

	.code16
	.section .text16, "ax"
	.globl	start16, restored

/* Of the protocol only CS is relied upon: the other segments and a stack are in the same image. */
start16:
	cli
	cld
	mov	%cs, %ax
	sub	$HEAD_STUB16 >> 4, %ax
	jb	astray
	mov	%ax, %ds
	cmpl	$HDRS, HDRS_AT
	jne	astray
	mov	%ax, %es
	mov	%ax, %ss
	mov	$HEAD_STACK, %sp
	cmpl	$HEAD_END_MARK, HEAD_SIZE - 4
	je	1f
	text16	"linux16: setup code: its end is not in memory, all 32 sectors are needed"
	jmp	stop16
1:	sti					/* services of a BIOS may wait for interrupts */

	xorl	%eax, %eax
	mov	$PAGE(0), %di
	mov	$0x1000 / 4, %cx
	rep stosl
	movzbw	JUMP_DISTANCE, %cx
	add	$JUMP_END - HEADER_START, %cx
	cmp	$HEADER_MOST, %cx
	jbe	1f
	mov	$HEADER_MOST, %cx
1:	mov	$HEADER_START, %si
	mov	$PAGE(HEADER_START), %di
	rep movsb

	call	modes
	call	memory
	call	keyboard
	call	disks16
	call	video16
	jmp	leave

/* `_start` in 16-bit mode somewhere else. There is nobody to return to, so its params are the stack. */
astray:
	mov	%cs, %ax
	mov	%ax, %ss
	mov	$STUB16_SIZE, %sp
	text16	"16-bit mode: no setup header 0xe00 before the entry, Linux's 16-bit boot protocol is needed"
	jmp	stop16

/* Tell the BIOS that both legacy and long mode will be used: AMD's processors' manual asks for it. */
modes:
	mov	$0xec00, %ax
	mov	$3, %bx
	int	$0x15
	jmp	restored

/* What BIOS calls may have changed; flags but DF stay. */
restored:
	cld
	push	%ss
	pop	%ds
	push	%ss
	pop	%es
	ret

/* Shift keys and locks, as they are now. */
keyboard:
	mov	$0x02, %ah
	int	$0x16
	call	restored
	mov	%al, PAGE(KBD_STATUS)
	ret

/*
 * The memory map, 128 records at most; and the two older answers, which the kernel takes when there
 * are less than two records. A record is made on the stack: the BIOS may write more than one has.
 */
memory:
	sub	$24, %sp
	mov	%sp, %bp
	mov	$PAGE(E820_TABLE), %si
	xorl	%ebx, %ebx
1:	mov	%bp, %di
	call	e820_next
	jc	2f
	mov	%si, %di
	mov	%bp, %si
	mov	$E820_RECORD / 2, %cx
	rep movsw
	mov	%di, %si
	incb	PAGE(E820_ENTRIES)
	cmpb	$E820_MAX, PAGE(E820_ENTRIES)
	jae	3f
	testl	%ebx, %ebx
	jnz	1b
	jmp	3f
2:	test	%ax, %ax			/* that was no answer: neither were the others */
	jz	3f
	movb	$0, PAGE(E820_ENTRIES)
3:	add	$24, %sp

	mov	$0xe801, %ax
	xor	%bx, %bx
	xor	%cx, %cx
	xor	%dx, %dx
	int	$0x15
	call	restored
	jc	6f
	test	%cx, %cx			/* some answer in CX and DX, some in AX and BX */
	jnz	4f
	test	%dx, %dx
	jnz	4f
	mov	%ax, %cx
	mov	%bx, %dx
4:	cmp	$15 << 10, %cx			/* KiB from 1 to 16 MiB */
	ja	6f				/* no answer */
	movzwl	%cx, %eax
	jne	5f				/* there is a hole: what is above 16 MiB does not count */
	movzwl	%dx, %edx
	shll	$6, %edx
	addl	%edx, %eax
5:	movl	%eax, PAGE(ALT_MEM_K)
6:	mov	$0x88, %ah
	int	$0x15
	call	restored
	jc	7f
	mov	%ax, PAGE(EXT_MEM_K)
7:	ret

leave:
	cmpl	$0, REALMODE_SWTCH
	je	1f
	lcallw	*REALMODE_SWTCH			/* instead of the next two lines */
	jmp	2f
1:	cli
	mov	$0x80, %al			/* NMI off */
	out	%al, $0x70
2:	call	restored
	call	a20_on
	jnc	3f
	text16	"linux16: A20: the gate does not open, addresses with bit 20 are needed"
	jmp	stop16
3:	xor	%al, %al			/* the coprocessor's interrupt is not pending */
	out	%al, $0xf0
	out	%al, $0x80
	out	%al, $0xf1
	out	%al, $0x80
	mov	$0xff, %al			/* no interrupt but by the second 8259 */
	out	%al, $0xa1
	out	%al, $0x80
	mov	$0xfb, %al
	out	%al, $0x21
	out	%al, $0x80

	xorl	%eax, %eax
	pushl	%eax
	pushw	%ax
	mov	%sp, %bp
	lidtl	(%bp)
	mov	%cs, %ax
	movzwl	%ax, %ecx
	shll	$4, %ecx
	call	4f
4:	pop	%bx
	movzwl	%bx, %ebx
	addl	%ebx, %ecx			/* linear addresses: of this label */
	leal	gdt16 - 4b(%ecx), %eax
	pushl	%eax
	pushw	$gdt16_end - gdt16 - 1
	mov	%sp, %bp
	lgdtl	(%bp)
	mov	%ss, %ax
	movzwl	%ax, %ebx
	shll	$4, %ebx			/* of DS:0 and SS:0 */
	leal	PAGE(0)(%ebx), %esi
	movl	CODE32_START, %eax
	leal	protected16 - 4b(%ecx), %ecx
	pushw	$BOOT_CS
	pushl	%ecx
	mov	%sp, %bp
	movzwl	%sp, %esp
	movl	%cr0, %edx
	orb	$1, %dl
	movl	%edx, %cr0
	ljmpl	*(%bp)

	.code32
protected16:
	movl	$BOOT_DS, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	movl	%ecx, %fs
	movl	%ecx, %gs
	movl	%ecx, %ss
	addl	%ebx, %esp
	xorl	%ecx, %ecx
	lldt	%cx
	xorl	%edx, %edx
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	jmp	*%eax
	.code16

	.balign	8
gdt16:
	.quad	0
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdt16_end:

	.section .note.GNU-stack, "", @progbits
