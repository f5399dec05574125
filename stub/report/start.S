/* SPDX-License-Identifier: MIT */
/* Where the kernel enters a program: no arguments are wanted. */

	.text
	.globl	_start
_start:
#ifdef __x86_64__
	xor	%ebp, %ebp
	and	$-16, %rsp
	call	start
#else
	xor	%ebp, %ebp
	and	$-16, %esp
	call	start
#endif
	ud2

	.section .note.GNU-stack, "", @progbits
