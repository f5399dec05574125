/* SPDX-License-Identifier: MIT */
/* INT 11h, 12h, 13h, 15h: equipment, memory, no drives, and what the system cannot do. */
#include "bios.h"

#define SMAP		0x534d4150

	.code16
	.text
	.globl	int11, int12, int13, int15
	.globl	done, failed, unsupported

/* AX: the equipment word. */
int11:
	push	%ds
	pushw	$BDA
	pop	%ds
	mov	BDA_EQUIPMENT, %ax
	pop	%ds
	iret

/* AX: KiB of base memory. */
int12:
	push	%ds
	pushw	$BDA
	pop	%ds
	mov	BDA_BASE_KIB, %ax
	pop	%ds
	iret

/* Drives: whatever it is, it is an invalid request. */
int13:
	call	wake
	mov	$0x01, %ah
	jmp	failed

int15:
	call	wake
	cmp	$0xe820, %ax
	je	memory_map
	cmp	$0xe801, %ax
	je	memory_sizes
	cmp	$0x88, %ah
	je	extended_memory
	cmp	$0x2401, %ax
	je	fine
	cmp	$0x2402, %ax
	je	a20_status
	cmp	$0x2403, %ax
	je	a20_support
	cmp	$0xec00, %ax		/* AMD: which processor mode comes next; taken note of */
	je	fine
/* Every other function of INT 15h: a wait, APM, SpeedStep, the system's configuration, ... */
unsupported:
	mov	$0x86, %ah
failed:
	push	%bp
	mov	%sp, %bp
	orw	$FLAG_CF, FLAGS(%bp)
	pop	%bp
	iret

/* 2402h: A20 is on. */
a20_status:
	mov	$0x01, %al
	jmp	fine

/* 2403h: neither the keyboard controller nor port 92h switches A20. */
a20_support:
	xor	%bx, %bx
fine:
	xor	%ah, %ah
done:
	push	%bp
	mov	%sp, %bp
	andw	$~FLAG_CF, FLAGS(%bp)
	pop	%bp
	iret

/* 88h, AX: KiB from 1 MiB on. */
extended_memory:
	mov	%cs:extended_kib, %ax
	jmp	done

/* E801h, AX and CX: KiB from 1 to 16 MiB; BX and DX: 64 KiB units from there on. */
memory_sizes:
	mov	%cs:below_16m_kib, %ax
	mov	%ax, %cx
	mov	%cs:above_16m_blocks, %bx
	mov	%bx, %dx
	jmp	done

/*
 * E820h (ACPI 6.5, 15.1). EBX counts records. A caller with room for the extended attributes gets
 * them: bit 0, the record is not to be ignored.
 */
memory_map:
	cmpl	$SMAP, %edx
	jne	unsupported
	cmpl	$RECORD, %ecx
	jb	unsupported
	pushl	%eax
	movzwl	%cs:map_count, %eax
	cmpl	%eax, %ebx
	popl	%eax
	jae	unsupported

	push	%ds
	push	%si
	push	%di
	push	%cs
	pop	%ds
	cld
	imul	$RECORD, %bx, %si
	add	$map, %si
	movl	%ecx, %eax
	mov	$RECORD / 2, %cx
	rep movsw
	movl	$RECORD, %ecx
	cmpl	$RECORD_EXTENDED, %eax
	jb	1f
	movl	$1, %es:(%di)
	movl	$RECORD_EXTENDED, %ecx
1:	pop	%di
	pop	%si
	pop	%ds

	incl	%ebx
	movzwl	%cs:map_count, %eax
	cmpl	%eax, %ebx
	jb	2f
	xorl	%ebx, %ebx		/* that was the last one */
2:	movl	$SMAP, %eax
	jmp	done
