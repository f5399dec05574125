/* Out of C, to the firmware. */
#include "core.h"

#define LOAD_ERROR	1

	.text
	.code64
/*
 * efi_call(): RDI is the function, RSI, RDX, RCX, R8, R9 are its arguments. 64-bit firmware has them
 * in RCX, RDX, R8, R9 and on the stack, above room for those four; and the stack aligned to 16 bytes,
 * which C of ours does not care for. 32-bit firmware may take two words for each of the last two.
 */
	.globl	efi_call
	.hidden	efi_call
efi_call:
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-16, %rsp
	.rept	3
	pushq	$0
	.endr
	pushq	%r9
	pushq	%r8
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	cmpb	$32, entered + ENTERED_BITS(%rip)
	je	1f
	popq	%rcx
	popq	%rdx
	popq	%r8
	popq	%r9
	subq	$32, %rsp
	call	*%rdi
	leave
	ret
1:	pushq	%rdi
	movq	%rsp, %rsi
	leaq	call32(%rip), %rdi
	call	call_firmware32
	movl	(%rsp), %eax
	addl	%eax, %eax
	rcrq	$1, %rax			/* an error's highest bit is where 64-bit firmware has it */
	leave
	ret

/*
 * EAX points to the function and what it gets, 8 bytes each; its result is put over it. All are cdecl,
 * and UEFI (2.3.2) wants the stack aligned to 16 bytes, as it was before we were called.
 */
	.code32
call32:
	pushl	%ebx
	subl	$12, %esp
	movl	%eax, %ebx
	.irp	number, 7, 6, 5, 4, 3, 2, 1	/* more than it may take, which does no harm */
	pushl	8 * \number(%ebx)
	.endr
	call	*(%ebx)
	movl	%eax, (%ebx)
	addl	$40, %esp
	popl	%ebx
	ret

/* EAX points to struct entered: back to whoever called _start, as if it were an ordinary function. */
	.globl	return32
	.hidden	return32
return32:
	movl	ENTERED_RBX(%eax), %ebx
	movl	ENTERED_RBP(%eax), %ebp
	movl	ENTERED_RSI(%eax), %esi
	movl	ENTERED_RDI(%eax), %edi
	movl	ENTERED_RSP(%eax), %esp
	movl	$0x80000000 + LOAD_ERROR, %eax
	ret

/* RDI points to it. */
	.code64
	.globl	return64
	.hidden	return64
return64:
	pushq	ENTERED_RFLAGS(%rdi)
	popfq
	movq	ENTERED_RBX(%rdi), %rbx
	movq	ENTERED_RBP(%rdi), %rbp
	movq	ENTERED_RSI(%rdi), %rsi
	.irp	number, 12, 13, 14, 15
	movq	ENTERED_R8 + (\number - 8) * 8(%rdi), %r\number
	.endr
	movq	ENTERED_RSP(%rdi), %rsp
	movq	ENTERED_RDI(%rdi), %rdi
	movl	$LOAD_ERROR << 1, %eax
	btsq	$0, %rax
	rorq	$1, %rax
	ret

	.section .note.GNU-stack, "", @progbits
