/* SPDX-License-Identifier: MIT */
/* Where a PC's consoles are, and what is said there. */
#ifndef UNIVERSAL_BIOS16_H
#define UNIVERSAL_BIOS16_H

#include "core.h"		/* STOP_PORT, STOP_STATUS */
#include "layout.h"

#define HEAD		0x1000		/* segment to which our own boot loader loads the head */

#define VECTOR_VIDEO	(0x10 * 4 + 2)	/* segment of INT 10h's handler */
#define VIDEO_ROM	0xc0		/* such segments begin with it or more */
#define SYSTEM_ROM	0xf0		/* and with less than this */

#define COM1		0x3f8
#define LSR		5		/* line status register of a 16550A */
#define LSR_EMPTY	0x20		/* the next byte may be sent */
#define DEBUG_CONSOLE	0xe9

/* SI: the offset of a text, by no address that a linker would have to know. Flags stay. */
	.macro	text16 text
	call	7f
	.asciz	"\text"
7:	pop	%si
	.endm

#endif
