/* SPDX-License-Identifier: MIT */
/*
 * The head of an image that a BIOS may start: a boot sector, and a small boot loader for Linux's
 * 16-bit protocol behind it. The loader's kernel is the very image that it is the head of.
 *
 * A BIOS reads 512 bytes of a disk, or some of a CD (El Torito, no emulation), to 0:7C00, and tells
 * the drive in DL. That one is lost: UEFI needs "MZ" at the beginning, which is POP DX here. So the
 * boot sector looks at all drives for itself. The head goes to 1000:0, what follows it in the file to
 * code32_start, through a buffer. Offsets count from the head's beginning.
 *
 * Others may write: a boot-info-table (0x08 to 0x40, for isolinux), a partition table of three
 * records, and what layout.h says. "BIOS Enhanced Disk Drive Specification", version 3.0; "El Torito" 1.0.
 */
#include "bios16.h"

#define LOADED_AT		0x7c0		/* segments */
#define CATALOG			0x1400

#define SECTOR_STACK		0xfff0		/* above all that is read to HEAD before it is left */
#define SIGNATURES		0x1b8		/* from here on a disk's own */
#define FIRST_DRIVE		0x80		/* hard disks and CDs up to 0xFF, then floppies */
#define LAST_DRIVE		0x03
#define ROUNDS			3		/* no drive is asked again before all have been: some take long to fail */
#define BLOCK_MARK_AT		0xffc		/* not in a block of 2048 bytes any more */
#define BLOCK_MARK		0x4b4c4234

#define BOOT_RECORD		17		/* the block of a CD that names its boot catalog */
#define BOOT_RECORD_ID		1		/* "CD001", as all descriptors begin; this one is a boot record */
#define BOOT_RECORD_CATALOG	0x47
#define ENTRY			0x20		/* bytes of one in the catalog; the first is no entry */
#define ENTRY_BOOTABLE		0x88
#define ENTRY_BLOCK		0x08
#define CATALOG_SIZE		2048

#define HDRS_AT			0x202

	.code16
	.section .sector, "awx"
head:
	.ascii	"MZ"
	ljmp	$LOADED_AT, $sector
	.org	0x08
no_drive:					/* a boot-info-table does not hurt it much */
	.asciz	"none has this image, INT 13h AH=42h is needed\r\n"
	.org	0x3c, 0
	.long	0				/* e_lfanew */
sector:
	mov	%cs, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$SECTOR_STACK, %sp
	sti
	cld
	mov	$loading, %si
	call	put
	pushw	$HEAD
	pop	%es
	mov	$ROUNDS, %bp
round:
	mov	$FIRST_DRIVE, %dl

/* A drive that holds us at its beginning, or one whose boot catalog names us. */
drive:
	xorl	%ebx, %ebx
	call	look
	jc	next
	je	found
	mov	$BOOT_RECORD, %bl
	mov	$1, %cx
	call	read
	jc	next
	cmpl	$0x30304443, %es:BOOT_RECORD_ID		/* "CD00" */
	jne	next
	movl	%es:BOOT_RECORD_CATALOG, %ebx
	push	%es
	pushw	$CATALOG
	pop	%es
	call	read
	push	%es
	pop	%fs
	pop	%es
	jc	next
	mov	$ENTRY, %di
entry:
	cmpb	$ENTRY_BOOTABLE, %fs:(%di)
	jne	1f
	movl	%fs:ENTRY_BLOCK(%di), %ebx
	call	look
	jc	next
	je	found
1:	add	$ENTRY, %di
	cmp	$CATALOG_SIZE, %di
	jb	entry
next:
	inc	%dl
	cmp	$LAST_DRIVE + 1, %dl
	jne	drive
	dec	%bp
	jnz	round
	mov	$no_drive, %si
	jmp	sector_stop

/* How large are the blocks? What one holds beyond 512 bytes, or 2048, tells: look() left zeros there. */
found:
	mov	$HEAD_SIZE / 512, %cx
	cmpb	$'H', %es:HDRS_AT
	jne	1f
	shr	$2, %cx
	cmpb	$BLOCK_MARK & 0xff, %es:BLOCK_MARK_AT
	jne	1f
	shr	$1, %cx
1:	call	read
	jc	2f
	ljmp	$HEAD, $load
2:	dec	%bp
	jnz	1b
	mov	$no_head, %si

/* Write the string at SI as a line, and the end; put16 tells by what it is written. */
sector_stop:
	push	%si
	mov	$no_drive_at, %si
	call	put
	pop	%si
	call	put
	mov	$STOP_STATUS, %al
	out	%al, $STOP_PORT
1:	cli
	hlt
	jmp	1b

/* Read block EBX of drive DL. ZF: it is this very sector; CF: it cannot be read. */
look:
	pusha
	movb	$0, %es:HDRS_AT
	movb	$0, %es:BLOCK_MARK_AT
	mov	$1, %cx
	call	read
	jc	1f
	mov	$sector, %si
	mov	%si, %di
	mov	$SIGNATURES - 0x40, %cx
	repe cmpsb
	clc
1:	popa
	ret

/* Read CX blocks from block EBX of drive DL to ES:0; CF: it cannot be done, which is a dot. */
read:
	pushal
	pushl	$0
	pushl	%ebx
	push	%es
	pushw	$0
	push	%cx
	pushw	$16
	mov	%sp, %si			/* DS is SS */
	push	%es
	mov	$0x42, %ah
	int	$0x13
	cld
	push	%ss
	pop	%ds
	jnc	1f
	dec	%ah				/* 1: no such drive or service; CF stays */
	jz	1f
	mov	$dot, %si
	call	put
	stc
1:	pop	%es
	popa					/* the packet */
	popal
	ret

/* Write the string at SI. What stays is BP, SP, CS, DS, SS and FS. */
put:	lodsb
	test	%al, %al
	jz	3f
	out	%al, $DEBUG_CONSOLE
	pushw	$0
	pop	%gs
	cmpb	$SYSTEM_ROM, %gs:VECTOR_VIDEO + 1
	jae	1f
	mov	$0x0e, %ah
	mov	$0x0007, %bx
	push	%si
	int	$0x10
	pop	%si
	push	%ss
	pop	%ds
	cld
1:	mov	%al, %ah
	mov	$COM1 + LSR, %dx
2:	in	%dx, %al
	test	$LSR_EMPTY, %al			/* no port: all bits are set */
	loopz	2b				/* 65536 times at most */
	mov	%ah, %al
	mov	$COM1 & 0xff, %dl
	out	%al, %dx
	jmp	put
3:	ret

loading:
	.ascii	"\r\nloading"
dot:
	.asciz	"."
no_drive_at:
	.asciz	"\r\nhvmlite: bios: drive: "
no_head:
	.asciz	"disk error\r\n"
	.globl	sector_end
sector_end:

	.org	HEAD_ID, 0			/* who makes an image fills it in */
	.org	0x1fe, 0
	.word	0xaa55
	.byte	0xeb, entry16 - . - 1		/* the setup header; all else of it is written later */
	.ascii	"HdrS"
	.org	0x26c, 0
/* The 16-bit entry: on to the stub's copy, with the CS that it wants. Needs no stack. */
entry16:
	mov	%cs, %ax
	add	$(HEAD_STUB16 - 0x200) >> 4, %ax
	mov	%ax, %cs:1f - 0x200 + 3
	jmp	1f				/* what was prefetched is old */
1:	ljmp	$0, $0
	.org	HEAD_HEADERS, 0

	.section .mark, "a"
	.long	BLOCK_MARK

	.section .end, "a"
	.long	HEAD_END_MARK

	.section .note.GNU-stack, "", @progbits
