/* The first bytes of a bzImage's protected-mode part, whose offsets the boot protocol fixes. */
#include "state.h"

	.section .head, "ax"
	.code32
	.globl	head
head:
	jmp	entry32
	.org	0x100
	jmp	from_setup			/* ours: see entry16.S */
	.org	0x180
	.ascii	"LToP"				/* kernel_info */
	.long	16
	.long	16
	.long	0x80000009			/* setup_type_max */
	.org	0x200
#ifdef __x86_64__
	.code64
	.globl	head64
head64:
	jmp	entry64
#endif
