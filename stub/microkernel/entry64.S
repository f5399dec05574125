/* The 64-bit entry of Linux: long mode, the loader's page tables, no stack. */
#include "state.h"

#define STATE(field)		entry_state + STATE_##field(%rip)

#ifdef BZIMAGE
#define ENTERED			head64		/* which jumps to us */
#else
#define ENTERED			entry64
#endif

	.section .text.entry64, "ax"
	.code64
	.globl	entry64
entry64:
	movq	%rax, STATE(RAX)
	movq	%rcx, STATE(RCX)
	movq	%rdx, STATE(RDX)
	movq	%rbx, STATE(RBX)
	movq	%rsp, STATE(RSP)
	movq	%rbp, STATE(RBP)
	movq	%rsi, STATE(RSI)
	movq	%rdi, STATE(RDI)
	.irp	number, 8, 9, 10, 11, 12, 13, 14, 15
	movq	%r\number, entry_state + STATE_R8 + (\number - 8) * 8(%rip)
	.endr
	leaq	stack_end(%rip), %rsp
	pushfq
	popq	STATE(RFLAGS)
	pushq	$2
	popfq
	movq	%cr0, %rax
	movq	%rax, STATE(CR0)
	movq	%cr2, %rax
	movq	%rax, STATE(CR2)
	movq	%cr3, %rax
	movq	%rax, STATE(CR3)
	movq	%cr4, %rax
	movq	%rax, STATE(CR4)
	movq	%cr8, %rax
	movq	%rax, STATE(CR8)
	movw	%cs, STATE(CS)
	movw	%ds, STATE(DS)
	movw	%es, STATE(ES)
	movw	%fs, STATE(FS)
	movw	%gs, STATE(GS)
	movw	%ss, STATE(SS)
	str	STATE(TR)
	sldt	STATE(LDTR)
	sgdt	STATE(GDTR)
	sidt	STATE(IDTR)
	movl	$0xc0000080, %ecx
	rdmsr
	movl	%eax, STATE(EFER)
	movl	%edx, 4 + STATE(EFER)
	leaq	ENTERED(%rip), %rax
	movq	%rax, STATE(RIP)
	movl	$LINUX64, STATE(ABI)
	leaq	entry_state(%rip), %rdi
	call	start
