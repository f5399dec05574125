/* Out of C, to the firmware. */
#include "core.h"

#define LOAD_ERROR	1

	.text
/* EAX points to struct call32: a call of 32-bit firmware. All its functions are cdecl. */
	.code32
	.globl	call32
	.hidden	call32
call32:
	pushl	%ebx
	movl	%eax, %ebx
	.irp	number, 6, 5, 4, 3, 2, 1, 0	/* more than it may take, which does no harm */
	pushl	8 + 4 * \number(%ebx)
	.endr
	call	*(%ebx)
	movl	%eax, 4(%ebx)
	addl	$28, %esp
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
