# Through every mode of the processor and back, in the first 64 KiB: each label is the first
# instruction in its mode. In 64-bit mode R8 is given a value that no other mode can see.
	.code16
	.globl _start, protected32, compatible, long, compatible_again, protected_again, protected16, real
_start:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$stack_top, %sp
	lgdtl	gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x08, $protected32

	.code32
protected32:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack_top, %esp
	movl	%cr4, %eax
	orl	$0x20, %eax
	movl	%eax, %cr4
	movl	$0x10000, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
compatible:
	ljmpl	$0x18, $long

	.code64
long:	movabs	$0x0123456789abcdef, %r8
	pushq	%r8
	popq	%r9
	pushq	$0x08
	pushq	$compatible_again
	lretq

	.code32
compatible_again:
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
protected_again:
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$~0x100, %eax
	wrmsr
	movl	$0x28, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	ljmpl	$0x20, $protected16

	.code16
protected16:
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmpw	$0, $real
real:	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$0xf4, %dx
	movw	$0x2a, %ax
	outw	%ax, %dx
	hlt

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff		# 08: 32-bit code
	.quad	0x00cf93000000ffff		# 10: data
	.quad	0x00af9b000000ffff		# 18: 64-bit code
	.quad	0x00009b000000ffff		# 20: 16-bit code
	.quad	0x000093000000ffff		# 28: 16-bit data
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
	.fill	256, 1, 0
stack_top:
