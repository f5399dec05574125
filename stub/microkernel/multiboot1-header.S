/*
 * The multiboot1 header.
 *
 * With KLUDGE the file is flat and the header says where it belongs. The header stands some way
 * after the image's start, and the file begins with bytes that belong to nothing, so that a loader
 * has to compute.
 */
#define MAGIC			0x1badb002
#define PAGE_ALIGN		(1 << 0)
#define MEMORY_INFO		(1 << 1)
#define AOUT_KLUDGE		(1 << 16)

#ifdef KLUDGE
#define FLAGS			(MEMORY_INFO | AOUT_KLUDGE)
#else
#define FLAGS			(PAGE_ALIGN | MEMORY_INFO)
#endif

	.section .head, "a"
	.org	0x44
	.balign	4
header:
	.long	MAGIC
	.long	FLAGS
	.long	-(MAGIC + FLAGS)
#ifdef KLUDGE
	.long	header
	.long	image_start			/* load_addr */
	.long	data_end			/* load_end_addr */
	.long	image_end			/* bss_end_addr */
	.long	entry32
#endif
