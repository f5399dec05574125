/* SPDX-License-Identifier: MIT */
/* What the parts of the BIOS have in common. */

/* The BIOS data area: its segment, and offsets in it. */
#define BDA		0x40
#define BDA_COM1	0x00
#define BDA_EQUIPMENT	0x10
#define BDA_BASE_KIB	0x13
#define BDA_TICKS	0x6c

/* FLAGS as INT pushed them, once BP is pushed and holds SP. */
#define FLAGS		6
#define FLAG_CF		0x01
#define FLAG_ZF		0x40

/* One record of the memory map, and what a caller may ask for: with extended attributes. */
#define RECORD		20
#define RECORD_EXTENDED	24
