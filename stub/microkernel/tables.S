/* Where the entry state goes, the stack, descriptor and page tables: the same in every build. */
#include "state.h"

	.data
	.balign	16
	.globl	entry_state
entry_state:
	.fill	STATE_SIZE, 1, 0

	.balign	8
	.globl	gdt
gdt:
	.quad	0
	.quad	0
	.quad	0x00cf9b000000ffff		/* CODE32 */
	.quad	0x00cf93000000ffff		/* DATA */
	.quad	0x00af9b000000ffff		/* CODE64 */

#ifdef __x86_64__
/* An identity map of GIGABYTES in 2 MiB pages; the upper levels are filled in where we run. */
	.balign	0x1000
	.globl	pml4, pdpt, identity
pml4:	.fill	0x1000, 1, 0
pdpt:	.fill	0x1000, 1, 0
identity:
	.set	page, 0
	.rept	GIGABYTES * 512
	.quad	page + 0x83			/* present, writable, 2 MiB */
	.set	page, page + 0x200000
	.endr
#endif

/* One stub for each exception: a frame for trap() in cpu.c. */
	.text
	.globl	trap_stubs
	.balign	16
trap_stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	(0x60227d00 >> vector) & 1	/* 8, 10-14, 17, 21, 29, 30 push an error code */
	.else
	push	$0
	.endif
	push	$vector
	jmp	1f
	.set	vector, vector + 1
	.endr
1:
#ifdef __x86_64__
	movq	%rsp, %rdi
	andq	$-16, %rsp
#else
	movl	%esp, %eax
	andl	$-16, %esp
	subl	$12, %esp
	pushl	%eax
#endif
	call	trap

	.section .stack, "aw", @nobits
	.balign	16
	.fill	0x4000, 1, 0
	.globl	stack_end
stack_end:
