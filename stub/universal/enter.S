/* Out of C: into the kernel, and into what needs the firmware's stack. */
#include "layout.h"
#include "core.h"

#define EFER			0xc0000080
#define CR0_PE			0x31		/* PE, ET, NE: no paging */
#define CR0_PG			0x80000031
#define CR4_PAE			0x20

#define AT(symbol)		((symbol) - call_firmware32)	/* which EBP points to, down there */
#define ENTERED(field)		AT(entered) + ENTERED_##field

	.text
	.code64
/* RDI: where to, RSI: the zero page. boot.rst, "64-bit boot protocol". */
	.globl	enter64
enter64:
	movq	%rdi, %rax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	leaq	stack_end(%rip), %rsp		/* old kernels call before they have their own */
	jmp	*%rax

/* The same, by way of 32-bit mode, without 5-level paging: RDX are the tables with four. */
	.globl	enter64_four_levels
enter64_four_levels:
	leaq	stack_end(%rip), %rsp
	pushq	%rsi				/* the kernel may be above 4 GiB */
	pushq	%rdi
	call	leave_long_mode
	.code32
	movl	%edx, %cr3
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$EFER, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	$CR0_PG, %eax
	movl	%eax, %cr0
	pushl	$CODE64
	call	1f
1:	addl	$2f - 1b, (%esp)
	lretl
	.code64
2:	movl	%esp, %esp			/* upper halves are undefined */
	popq	%rdi
	popq	%rsi
	jmp	enter64

/* RDI: where to, RSI: the zero page, both below 4 GiB. "32-bit boot protocol": 0x10 and 0x18. */
	.globl	enter32
enter32:
	leaq	stack_end(%rip), %rsp
	leaq	gdt32(%rip), %rbp
	call	leave_long_mode
	.code32
	xorl	%eax, %eax
	movl	%eax, %cr4
	pushl	%ebp
	pushw	$gdt32_end - gdt32 - 1
	lgdtl	(%esp)
	addl	$6, %esp
	pushl	$0x10
	pushl	%edi
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	xorl	%eax, %eax
	lldt	%ax
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	lretl

/* Returns in 32-bit mode without paging. RAX, RCX are lost; the others' lower halves are not. */
	.code64
leave_long_mode:
	popq	%rcx
	pushq	$CODE32
	leaq	1f(%rip), %rax
	pushq	%rax
	lretq
	.code32
1:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$CR0_PE, %eax
	movl	%eax, %cr0
	pushl	%ecx
	pushl	%edx
	movl	$EFER, %ecx
	rdmsr
	andl	$~0x100, %eax
	wrmsr
	popl	%edx
	ret

/* RDI: the function, RSI: its argument. What the processor leaves undefined is kept on the stack. */
	.code64
	.globl	call_firmware32
call_firmware32:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	leaq	call_firmware32(%rip), %rbp
	call	leave_long_mode
	.code32
	movl	%esp, %ebx
	lgdtl	ENTERED(GDTR)(%ebp)
	lidtl	ENTERED(IDTR)(%ebp)
	movzwl	ENTERED(CS)(%ebp), %eax
	pushl	%eax
	leal	AT(1f)(%ebp), %eax
	pushl	%eax
	lretl
1:	movw	ENTERED(DS)(%ebp), %ds
	movw	ENTERED(ES)(%ebp), %es
	movw	ENTERED(FS)(%ebp), %fs
	movw	ENTERED(GS)(%ebp), %gs
	movw	ENTERED(SS)(%ebp), %ss
	movl	ENTERED(CR3)(%ebp), %eax
	movl	%eax, %cr3
	movl	ENTERED(CR4)(%ebp), %eax
	movl	%eax, %cr4
	movl	ENTERED(EFER)(%ebp), %eax
	movl	4 + ENTERED(EFER)(%ebp), %edx
	movl	$EFER, %ecx
	wrmsr
	movl	ENTERED(CR0)(%ebp), %eax
	movl	%eax, %cr0
	movl	ENTERED(RSP)(%ebp), %esp
	andl	$-16, %esp
	sti
	movl	%esi, %eax
	call	*%edi
	cli
	cld
	movl	$CR0_PE, %eax
	movl	%eax, %cr0
	movl	%ebx, %esp
	leal	AT(2f)(%ebp), %ebx
	leal	AT(start32)(%ebp), %ebp
	jmp	enter_long_mode
	.code64
2:	movl	%esp, %esp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	jmp	own_segments

	.code64
/* R8 is called with the other arguments, on the firmware's stack and with its interrupts. */
	.globl	call_theirs
call_theirs:
	pushq	%rbp
	movq	%rsp, %rbp
	movq	entered + ENTERED_RSP(%rip), %rsp
	pushq	entered + ENTERED_RFLAGS(%rip)
	popfq
	cld
	andq	$-16, %rsp
	call	*%r8
	cli
	cld
	movq	%rbp, %rsp
	popq	%rbp
	ret

	.globl	go_on_in_copy
go_on_in_copy:
	leaq	_start(%rip), %rsi
	movq	%rsi, %rdx
	leaq	1f(%rip), %rax
	subq	%rsi, %rax
	addq	%rdi, %rax
	movl	$SCRATCH_END, %ecx
	rep movsb
	jmp	*%rax
1:	leaq	stack_end(%rip), %rsp
	movq	%rdx, %rdi
	call	start_copy

	.section .rodata, "a"
	.balign	8
gdt32:
	.quad	0
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdt32_end:

	.section .note.GNU-stack, "", @progbits
