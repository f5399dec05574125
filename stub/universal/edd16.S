/* SPDX-License-Identifier: MIT */
/*
 * Hard disks as the BIOS sees them, by which Linux tells which one it was started from: eddbuf and
 * edd_mbr_sig_buffer of the zero page. "BIOS Enhanced Disk Drive Specification", version 3.0;
 * include/uapi/linux/edd.h.
 */
#include "layout.h"

#define EDDBUF_ENTRIES		HEAD_ZERO_PAGE + 0x1e9
#define SIGNATURES		HEAD_ZERO_PAGE + 0x1ea
#define SIGNATURE_BUFFER	HEAD_ZERO_PAGE + 0x290
#define EDDBUF			HEAD_ZERO_PAGE + 0xd00
#define EDD_INFO		82		/* bytes of a record */
#define EDD_MAX			6
#define DEVICE			0x00
#define VERSION			0x01
#define INTERFACE_SUPPORT	0x02
#define MAX_CYLINDER		0x04
#define MAX_HEAD		0x06
#define SECTORS_PER_TRACK	0x07
#define PARAMETERS		0x08
#define PARAMETERS_SIZE		74
#define BYTES_PER_SECTOR	0x18		/* of the parameters */

#define FIRST			0x80
#define LAST			0x8f

/* Behind the zero page: a sector, a record, and the rest of that page is the stack. */
#define SECTOR_MOST		2048
#define MBR(offset)		HEAD_ZERO_PAGE + 0x1000 + offset
#define SIGNATURE		0x1b8
#define MAGIC			0x1fe
#define RECORD(offset)		HEAD_ZERO_PAGE + 0x1000 + SECTOR_MOST + offset

	.code16
	.section .text16, "ax"
	.globl	disks16

disks16:
	mov	$FIRST, %dl
	mov	$SIGNATURE_BUFFER, %bp
1:	call	extensions
	jc	2f
	cmpb	$EDD_MAX, EDDBUF_ENTRIES
	jae	2f
	mov	$EDD_INFO, %al
	mulb	EDDBUF_ENTRIES
	add	$EDDBUF, %ax
	mov	%ax, %di
	mov	$RECORD(0), %si
	mov	$EDD_INFO / 2, %cx
	rep movsw
	incb	EDDBUF_ENTRIES
2:	call	signature
	add	$4, %bp
	inc	%dl
	cmp	$LAST, %dl
	jbe	1b
	ret

/* The record of drive DL; CF, and it is zeros, if the BIOS has no extensions for it. */
extensions:
	pushal
	mov	$RECORD(0), %di
	mov	$EDD_INFO / 2, %cx
	xor	%ax, %ax
	rep stosw
	mov	$0x41, %ah
	mov	$0x55aa, %bx
	push	%dx
	int	$0x13
	pop	%dx
	call	restored
	jc	2f
	cmp	$0xaa55, %bx
	jne	1f
	mov	%dl, RECORD(DEVICE)
	mov	%ah, RECORD(VERSION)
	mov	%cx, RECORD(INTERFACE_SUPPORT)
	movw	$PARAMETERS_SIZE, RECORD(PARAMETERS)
	mov	$0x48, %ah
	mov	$RECORD(PARAMETERS), %si
	push	%dx
	int	$0x13
	pop	%dx
	call	restored
	mov	$0x08, %ah
	xor	%di, %di			/* ES:DI 0:0, as some BIOSes want it */
	mov	%di, %es
	int	$0x13
	call	restored
	jc	3f
	mov	%cl, %al
	and	$0x3f, %al
	mov	%al, RECORD(SECTORS_PER_TRACK)
	mov	%dh, RECORD(MAX_HEAD)
	xchg	%cl, %ch
	shr	$6, %ch
	mov	%cx, RECORD(MAX_CYLINDER)
3:	clc
	popal
	ret
1:	stc
2:	popal
	ret

/* SS:BP: what Windows, and EDD, know the disk DL by, if it has an MBR; EDD_MBR_SIG counts up to it. */
signature:
	pushal
	cmpw	$SECTOR_MOST, RECORD(PARAMETERS + BYTES_PER_SECTOR)
	ja	1f
	movw	$0, MBR(MAGIC)
	mov	$0x0201, %ax			/* one sector, cylinder 0, head 0, sector 1 */
	mov	$0x0001, %cx
	xor	%dh, %dh
	mov	$MBR(0), %bx
	push	%bp
	push	%dx
	int	$0x13
	pop	%dx
	pop	%bp
	call	restored
	jc	1f
	cmpw	$0xaa55, MBR(MAGIC)
	jne	1f
	movl	MBR(SIGNATURE), %eax
	movl	%eax, (%bp)
	sub	$FIRST - 1, %dl
	mov	%dl, SIGNATURES
1:	popal
	ret

	.section .note.GNU-stack, "", @progbits
