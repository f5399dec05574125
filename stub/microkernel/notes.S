/* What an ELF says of itself: the note of the ABI that it is built for. */
#include "state.h"

	.section .note, "a", @note
	.balign	4

#if ABI == PVH
	.long	4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	entry32
#if MOVABLE
	.long	4, 12, 19			/* XEN_ELFNOTE_PHYS32_RELOC: alignment, lowest, highest */
	.asciz	"Xen"
	.long	0x200000, 0x200000, 0x3fffffff
#endif
#else
	.long	6, 8, 0x100			/* LINUX_ELFNOTE_BUILD_SALT */
	.asciz	"Linux"
	.balign	4
	.ascii	"hvmlite\0"
#endif
