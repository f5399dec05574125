/* SPDX-License-Identifier: MIT */
/*
 * The boot loader in the head: reads all that follows the head to code32_start, through a buffer, and
 * enters the head by Linux's 16-bit protocol.
 *
 * The boot sector enters it at HEAD:0600. DL: the drive; EBX: the block of it that begins with the head;
 * CX: how many blocks a head is.
 */
#include "bios16.h"

#define BUFFER			0x2000
#define BUFFER_SIZE		0x8000
#define BASE_MEMORY_NEEDED	((BUFFER * 16 + BUFFER_SIZE) >> 10)
#define TRIES			5
#define RECORDS_MOST		1024		/* of a memory map: a BIOS might go on for ever */

#define SYSSIZE			0x1f4
#define TYPE_OF_LOADER		0x210
#define LOADFLAGS		0x211
#define CODE32_START		0x214
#define HEAP_END_PTR		0x224
#define CMD_LINE_PTR		0x228
#define UNDEFINED_LOADER	0xff
#define CAN_USE_HEAP		0x80

#define CODE16			0x08		/* selectors */
#define REAL			0x10
#define FLAT			0x18

	.code16
	.section .loader, "awx"
	.globl	load
load:
	mov	%cs, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$HEAD_STACK, %sp
	mov	$incomplete, %si
	cmpl	$HEAD_END_MARK, HEAD_SIZE - 4
	jne	stop16
	mov	%dl, disk
	movzwl	%cx, %ecx
	addl	%ecx, %ebx
	movl	%ebx, block
	movl	$HEAD_SIZE, %eax
	xorl	%edx, %edx
	divl	%ecx
	movl	%eax, block_size

	int	$0x12
	cld
	mov	$no_base_memory, %si
	cmp	$BASE_MEMORY_NEEDED, %ax
	jb	stop16

	/* Whole blocks, all of them in RAM. */
	movl	SYSSIZE, %eax
	mov	$no_size, %si
	testl	%eax, %eax
	jz	stop16
	movl	%eax, %edx
	shrl	$28, %edx
	shll	$4, %eax
	movl	block_size, %ecx
	subl	$1, %eax
	sbbl	$0, %edx
	divl	%ecx
	incl	%eax
	movl	%eax, blocks
	mull	%ecx
	movl	CODE32_START, %ebx
	movl	%ebx, target
	addl	%ebx, %eax
	adcl	$0, %edx
	jnz	stop16				/* it ends above 4 GiB */
	movl	%eax, end
	call	find_memory
	movl	CODE32_START, %eax
	movl	%eax, target
	jnc	1f
	mov	$no_memory, %si
	call	complain16
	movl	CODE32_START, %eax
	call	hex16
	mov	$no_memory_to, %si
	call	say16
	movl	end, %eax
	call	hex16
	mov	$no_memory_end, %si
	jmp	end16

1:	movl	$BUFFER_SIZE, %eax
	xorl	%edx, %edx
	divl	block_size
	cmpl	blocks, %eax
	jbe	2f
	movl	blocks, %eax
2:	movl	%eax, %ecx
	call	read_disk
	addl	%ecx, block
	movl	%ecx, %eax
	mull	block_size
	call	copy
	movl	target, %edx
	addl	%eax, target
	xorl	target, %edx
	shrl	$20, %edx
	jz	3f
	mov	$'.', %al			/* one more MiB */
	call	put16
3:	subl	%ecx, blocks
	jnz	1b
	mov	$new_line, %si
	call	say16

	/* boot.rst, "The Real-Mode Kernel Header": what a loader fills in. */
	movb	$UNDEFINED_LOADER, TYPE_OF_LOADER
	orb	$CAN_USE_HEAP, LOADFLAGS
	movw	$HEAD_STACK - 0x200, HEAP_END_PTR
	movl	$HEAD * 16 + no_command_line, CMD_LINE_PTR
	cli
	push	%ds
	pop	%fs
	push	%ds
	pop	%gs
	mov	$HEAD_STACK, %sp
	ljmp	$HEAD + 0x20, $0

/* ECX blocks to BUFFER; CX is 16 bits because the buffer is that small. Does not come back in vain. */
read_disk:
	pushal
	mov	$TRIES, %bp
1:	pushl	$0
	pushl	block
	pushw	$BUFFER
	pushw	$0
	push	%cx
	pushw	$16
	mov	%sp, %si
	mov	disk, %dl
	mov	$0x42, %ah
	call	int13
	lea	16(%si), %sp
	jnc	2f
	movzbl	%ah, %ebx
	mov	disk, %dl			/* reset it */
	xor	%ax, %ax
	call	int13
	dec	%bp
	jnz	1b
	mov	$read_error, %si
	call	complain16
	movl	%ebx, %eax
	call	hex16
	mov	$read_error_drive, %si
	call	say16
	movzbl	disk, %eax
	call	hex16
	mov	$read_error_block, %si
	call	say16
	movl	block, %eax
	call	hex16
	mov	$read_error_end, %si
	jmp	end16
2:	popal
	ret

/* INT 13h; of the registers only AX and CF are its answer. */
int13:
	pushl	%ebx
	pushl	%ecx
	pushl	%edx
	pushl	%esi
	pushl	%edi
	pushl	%ebp
	int	$0x13
	popl	%ebp
	popl	%edi
	popl	%esi
	popl	%edx
	popl	%ecx
	popl	%ebx
own:	cld
	push	%ss
	pop	%ds
	push	%ss
	pop	%es
	ret

int15:
	int	$0x15
	jmp	own

/*
 * Copy EAX bytes of the buffer to `target`. The BIOS may use protected mode, and close the A20 gate as
 * it believes to have found it: all is set up anew.
 */
copy:
	pushal
	call	a20_on
	mov	$no_a20, %si
	jc	stop16
	pushfw
	cli
	movl	target, %edi
	movl	$BUFFER * 16, %esi
	movl	%eax, %ecx
	shrl	$2, %ecx
	lgdtl	gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmp	$CODE16, $1f
1:	mov	$FLAT, %bx
	mov	%bx, %ds
	mov	%bx, %es
	rep movsl %ds:(%esi), %es:(%edi)
	mov	$REAL, %bx			/* real mode has segments of 64 KiB */
	mov	%bx, %ds
	mov	%bx, %es
	and	$~1, %al
	movl	%eax, %cr0
	ljmp	$HEAD, $2f
2:	push	%ss
	pop	%ds
	push	%ss
	pop	%es
	popfw
	popal
	ret

/* CF: nothing that the BIOS tells of memory says that it is RAM from `target` to `end`. */
find_memory:
	pushal
	xorl	%ebx, %ebx
	mov	$record, %di
	mov	$RECORDS_MOST, %bp
1:	call	e820_next
	jc	3f
	cmpl	$1, 16(%di)			/* RAM */
	jne	2f
	cmpl	$0, 4(%di)
	jne	2f
	movl	(%di), %eax
	cmpl	target, %eax			/* as far as is known to be RAM */
	ja	2f
	addl	8(%di), %eax
	movl	12(%di), %edx
	adcl	$0, %edx
	jnz	9f
	cmpl	end, %eax
	jae	9f
	cmpl	target, %eax
	jbe	2f
	movl	%eax, target
2:	movb	$1, has_map
	testl	%ebx, %ebx
	jz	8f
	dec	%bp
	jnz	1b
	jmp	8f

/* No map at all? Then older questions: KiB from 1 MiB to 16 MiB, and 64 KiB from there. */
3:	cmpb	$0, has_map
	jne	8f
	mov	$0xe801, %ax
	xor	%cx, %cx
	xor	%dx, %dx
	stc
	call	int15
	jc	5f
	test	%cx, %cx
	jz	4f
	mov	%cx, %ax
	mov	%dx, %bx
4:	movzwl	%ax, %eax
	cmp	$15 << 10, %ax
	jne	6f
	movzwl	%bx, %ebx
	shll	$6, %ebx
	addl	%ebx, %eax
	jmp	6f
5:	mov	$0x88, %ah
	call	int15
	jc	8f
	movzwl	%ax, %eax
6:	addl	$1 << 10, %eax
	movl	end, %edx
	addl	$0x3ff, %edx
	shrl	$10, %edx
	cmpl	%edx, %eax
	jae	9f
8:	popal
	stc
	ret
9:	popal
	clc
	ret

incomplete:
	.asciz	"bios: drive: its first 16 KiB are not this image's, all of it is needed"
no_base_memory:
	.asciz	"bios: base memory: less than 160 KiB by INT 12h, as much is needed"
no_a20:
	.asciz	"bios: A20: the gate does not open, addresses with bit 20 are needed"
no_size:
	.asciz	"bios: syssize: not the size of an image below 4 GiB, one is needed"
no_memory:
	.asciz	"bios: memory: no RAM from "
no_memory_to:
	.asciz	" to "
no_memory_end:
	.asciz	" by INT 15h, it is needed for the image"
read_error:
	.asciz	"bios: disk: error "
read_error_drive:
	.asciz	" of INT 13h at drive "
read_error_block:
	.asciz	", block "
read_error_end:
	.asciz	", the whole image is needed"
new_line:
	.asciz	"\r\n"
no_command_line:
	.byte	0

	.balign	8
gdt:
	.quad	0
	.quad	0x00009b000000ffff | HEAD << 20	/* CODE16: HEAD's */
	.quad	0x000093000000ffff		/* REAL */
	.quad	0x00cf93000000ffff		/* FLAT */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	HEAD * 16 + gdt

	.balign	4
block:
	.long	0				/* the next one of the disk */
blocks:
	.long	0				/* how many are still to come */
block_size:
	.long	0
target:
	.long	0				/* where the next one goes */
end:
	.long	0				/* of the last */
record:
	.fill	24, 1, 0
disk:
	.byte	0
has_map:
	.byte	0

	.section .note.GNU-stack, "", @progbits
