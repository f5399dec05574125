/* SPDX-License-Identifier: MIT */
/*
 * The display, for the zero page's screen_info: include/uapi/linux/screen_info.h.
 *
 * Of vid_mode's values "normal" (0xFFFF) is a text mode of 25 lines, "extended" (0xFFFE) one of 50, and
 * 0x200 to 0x7FF are VESA's modes: with a linear frame buffer or not at all. Others are "normal".
 */
#include "layout.h"

#define VID_MODE		0x1fa
#define EXTENDED		0xfffe
#define VESA_FIRST		0x200
#define VESA_LAST		0x7ff

#define ORIG_X			HEAD_ZERO_PAGE + 0x00
#define ORIG_Y			HEAD_ZERO_PAGE + 0x01
#define ORIG_VIDEO_PAGE		HEAD_ZERO_PAGE + 0x04
#define ORIG_VIDEO_MODE		HEAD_ZERO_PAGE + 0x06
#define ORIG_VIDEO_COLS		HEAD_ZERO_PAGE + 0x07
#define FLAGS			HEAD_ZERO_PAGE + 0x08
#define ORIG_VIDEO_EGA_BX	HEAD_ZERO_PAGE + 0x0a
#define ORIG_VIDEO_LINES	HEAD_ZERO_PAGE + 0x0e
#define ORIG_VIDEO_ISVGA	HEAD_ZERO_PAGE + 0x0f
#define ORIG_VIDEO_POINTS	HEAD_ZERO_PAGE + 0x10
#define LFB_WIDTH		HEAD_ZERO_PAGE + 0x12
#define LFB_HEIGHT		HEAD_ZERO_PAGE + 0x14
#define LFB_DEPTH		HEAD_ZERO_PAGE + 0x16
#define LFB_BASE		HEAD_ZERO_PAGE + 0x18
#define LFB_SIZE		HEAD_ZERO_PAGE + 0x1c
#define LFB_LINELENGTH		HEAD_ZERO_PAGE + 0x24
#define RED_SIZE		HEAD_ZERO_PAGE + 0x26
#define VESAPM_SEG		HEAD_ZERO_PAGE + 0x2e
#define VESAPM_OFF		HEAD_ZERO_PAGE + 0x30
#define PAGES			HEAD_ZERO_PAGE + 0x32
#define VESA_ATTRIBUTES		HEAD_ZERO_PAGE + 0x34

#define NO_CURSOR		0x01
#define TYPE_VGA		0x01
#define TYPE_VESA		0x23

#define BDA_POINTS		0x485

	.code16
	.section .text16, "ax"
	.globl	video16

video16:
	call	text
	mov	$0x1200, %ax			/* BL stays as it is where there is no EGA or VGA */
	mov	$0x0010, %bx
	int	$0x10
	call	restored
	mov	%bx, ORIG_VIDEO_EGA_BX
	cmp	$0x10, %bl
	je	1f
	mov	$0x1a00, %ax
	xor	%bx, %bx
	int	$0x10
	call	restored
	cmp	$0x1a, %al
	jne	1f
	movb	$TYPE_VGA, ORIG_VIDEO_ISVGA
1:	mov	$0x0300, %ax
	xor	%bx, %bx
	xor	%cx, %cx
	xor	%dx, %dx
	int	$0x10
	call	restored
	mov	%dx, ORIG_X			/* and ORIG_Y */
	mov	%cx, %ax
	test	$0x20, %ah
	jnz	2f
	and	$0x1f1f, %ax
	cmp	%al, %ah			/* it begins below its end */
	jbe	3f
2:	movb	$NO_CURSOR, FLAGS
3:	call	mode
	mov	%al, ORIG_VIDEO_MODE
	mov	%bh, ORIG_VIDEO_PAGE
	push	%ds
	xor	%ax, %ax
	mov	%ax, %ds
	mov	BDA_POINTS, %ax
	pop	%ds
	mov	%ax, ORIG_VIDEO_POINTS
	mov	VID_MODE, %cx
	cmp	$VESA_FIRST, %cx
	jb	4f
	cmp	$VESA_LAST, %cx
	jbe	vesa
4:	ret

/* AL: the mode without "the screen was not cleared"; BH: the page. Zeros where there is no display. */
mode:
	mov	$0x0f00, %ax
	xor	%bx, %bx
	int	$0x10
	and	$0x7f, %al
	jmp	restored

/* A text mode, colour (3) or not (7), unless there is one; then 50 lines if they are asked for. */
text:
	call	mode
	cmp	$3, %al
	je	1f
	cmp	$7, %al
	je	1f
	mov	$0x0003, %ax
	int	$0x10
	call	restored
1:	movb	$80, ORIG_VIDEO_COLS
	movb	$25, ORIG_VIDEO_LINES
	cmpw	$EXTENDED, VID_MODE
	jne	2f
	movb	$50, ORIG_VIDEO_LINES
	mov	$0x1112, %ax			/* a font of 8 by 8 */
	xor	%bx, %bx
	int	$0x10
	mov	$0x1200, %ax			/* the screen is printed by who knows of it */
	mov	$0x0020, %bx
	int	$0x10
	mov	$0x0100, %ax			/* the cursor in lines 6 to 7 of 8 */
	mov	$0x0607, %cx
	int	$0x10
	call	restored
2:	ret

/* VESA's mode CX - 0x200, by VBE 2.0; nothing is changed if there is no such one. */
#define BUFFER			HEAD_ZERO_PAGE + 0x1000
#define MODE_ATTRIBUTES		BUFFER + 0x00
#define BYTES_PER_LINE		BUFFER + 0x10
#define X_RESOLUTION		BUFFER + 0x12	/* and Y */
#define TOTAL_MEMORY		BUFFER + 0x12	/* of 4F00h: in 64 KiB */
#define BITS_PER_PIXEL		BUFFER + 0x19
#define IMAGE_PAGES		BUFFER + 0x1d
#define MASKS			BUFFER + 0x1f	/* four times size and position */
#define PHYSICAL_BASE		BUFFER + 0x28
#define LINEAR			0x4000
#define WANTED			0x0099		/* there, colour, graphics, linear frame buffer */

vesa:
	sub	$VESA_FIRST, %cx
	mov	$0x4f00, %ax
	mov	$BUFFER, %di
	movl	$0x32454256, (%di)		/* "VBE2" */
	call	vbe
	jc	1f
	movzwl	TOTAL_MEMORY, %edx
	mov	$0x4f01, %ax
	mov	$BUFFER, %di
	call	vbe
	jc	1f
	mov	MODE_ATTRIBUTES, %ax
	and	$WANTED, %al
	cmp	$WANTED, %al
	jne	1f
	cmpb	$8, BITS_PER_PIXEL		/* a palette would have to be made */
	jbe	1f
	mov	%cx, %bx
	or	$LINEAR, %bx
	mov	$0x4f02, %ax
	call	vbe
	jc	1f
	movb	$TYPE_VESA, ORIG_VIDEO_ISVGA
	movl	%edx, LFB_SIZE
	mov	MODE_ATTRIBUTES, %ax
	mov	%ax, VESA_ATTRIBUTES
	mov	BYTES_PER_LINE, %ax
	mov	%ax, LFB_LINELENGTH
	movl	X_RESOLUTION, %eax
	movl	%eax, LFB_WIDTH			/* and LFB_HEIGHT */
	movzbw	BITS_PER_PIXEL, %ax
	mov	%ax, LFB_DEPTH
	movzbw	IMAGE_PAGES, %ax
	mov	%ax, PAGES
	movl	PHYSICAL_BASE, %eax
	movl	%eax, LFB_BASE
	mov	$MASKS, %si
	mov	$RED_SIZE, %di
	mov	$4, %cx
	rep movsw
	mov	$0x4f0a, %ax			/* its protected-mode interface */
	xor	%bx, %bx
	int	$0x10
	mov	%es, %dx
	call	restored
	cmp	$0x004f, %ax
	jne	1f
	mov	%dx, VESAPM_SEG
	mov	%di, VESAPM_OFF
1:	ret

/* INT 10h with AX, BX, CX, ES:DI, which stay as they are but for AX; CF: it was not done. */
vbe:
	pushal
	int	$0x10
	call	restored
	cmp	$0x004f, %ax
	popal
	je	1f
	stc
	ret
1:	clc
	ret

	.section .note.GNU-stack, "", @progbits
