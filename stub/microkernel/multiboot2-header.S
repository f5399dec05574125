/* The multiboot2 header; ADDRESSES and MOVABLE choose the tags. */
#define MAGIC			0xe85250d6
#define I386			0
#define OPTIONAL		1

	.macro	TAG type, flags, size
	.balign	8
	.word	\type, \flags
	.long	\size
	.endm

	.section .head, "a"
	.org	0x48
	.balign	8
header:
	.long	MAGIC
	.long	I386
	.long	header_end - header
	.long	-(MAGIC + I386 + (header_end - header))

	TAG	1, 0, 28			/* information request: all that we check */
	.long	1, 2, 3, 4, 6
	TAG	1, OPTIONAL, 20			/* and what few loaders have */
	.long	9, 14, 15
#ifdef ADDRESSES
	TAG	2, 0, 24
	.long	header
	.long	image_start			/* load_addr */
	.long	data_end			/* load_end_addr */
	.long	image_end			/* bss_end_addr */
	TAG	3, 0, 12
	.long	entry32
#endif
	TAG	6, 0, 8				/* modules on page boundaries */
#if MOVABLE
	TAG	10, 0, 24
	.long	0x400000, 0x3fffffff, 0x200000, 2	/* lowest, highest, alignment, high */
#endif
	TAG	0, 0, 8
header_end:
