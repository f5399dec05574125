# 64-bit mode: one case after the other. Of each exception the vector, CR2, RSP and six words of the
# stack are written to the serial port; then the next case runs, whose address is in R15.
	.code64
	.globl _start
_start:
	leaq	stack_top(%rip), %rsp
	lgdt	gdt_pointer(%rip)
	pushq	$8
	leaq	1f(%rip), %rax
	pushq	%rax
	lretq
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	leaq	idt(%rip), %rdi			# 256 gates, 16 bytes each
	leaq	stubs(%rip), %rsi
	xorl	%ecx, %ecx
2:	movw	%si, (%rdi)
	movw	$8, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	movq	%rsi, %rax
	shrq	$16, %rax
	movw	%ax, 6(%rdi)
	shrq	$16, %rax
	movl	%eax, 8(%rdi)
	addq	$16, %rdi
	addq	$16, %rsi
	incl	%ecx
	cmpl	$64, %ecx
	jb	2b
	movw	$0xee00, idt+16*0x30+4(%rip)	# INT 30h: for ring 3 too
	movb	$1, idt+16*8+4(%rip)		# a double fault, and NMI: stack IST1
	movw	$0, idt+16*0x31+4(%rip)		# no gate at all
	movw	$0x0e00, idt+16*0x32+4(%rip)	# not present
	movw	$0x8f00, idt+16*0x33+4(%rip)	# a trap gate
	movw	$0x18, idt+16*0x34+2(%rip)	# 32-bit code
	lidt	idt_pointer(%rip)
	leaq	tss(%rip), %rax
	movw	%ax, gdt+0x30+2(%rip)
	shrq	$16, %rax
	movb	%al, gdt+0x30+4(%rip)
	movb	%ah, gdt+0x30+7(%rip)
	movl	$0x30, %eax
	ltr	%ax

	.globl	divide, single, breakpoint, invalid, no_device, general, not_present, stack_segment
	leaq	1f(%rip), %r15
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	movl	$1, %eax
divide:	divl	%ecx
	hlt
1:	leaq	1f(%rip), %r15
	pushfq
	orq	$0x100, (%rsp)
	popfq
	nop
single:	hlt
1:	leaq	1f(%rip), %r15
	int3
breakpoint:
	hlt
1:	leaq	1f(%rip), %r15
invalid: ud2
1:	leaq	1f(%rip), %r15
	movq	%cr0, %rax
	orl	$8, %eax
	movq	%rax, %cr0
no_device: fnop
	hlt
1:	clts
	leaq	1f(%rip), %r15
	movl	$0x7f8, %eax			# beyond the GDT
general: movl	%eax, %ds
	hlt
1:	leaq	1f(%rip), %r15
	movl	$0x28, %eax
not_present: movl %eax, %es
	hlt
1:	leaq	1f(%rip), %r15
	movl	$0x28, %eax
stack_segment: movl %eax, %ss
	hlt

	.globl	canonical, gate_missing, gate_not_present, gate_trap, gate_32, software
1:	leaq	1f(%rip), %r15
	movabs	$0x0000800000000000, %rax
canonical: movl	(%rax), %ebx
	hlt
1:	leaq	1f(%rip), %r15
	sti
	int	$0x30
software: hlt
1:	leaq	1f(%rip), %r15
gate_missing: int $0x31
	hlt
1:	leaq	1f(%rip), %r15
gate_not_present: int $0x32
	hlt
1:	leaq	1f(%rip), %r15
	sti
	int	$0x33
gate_trap: hlt
1:	cli
	leaq	1f(%rip), %r15
gate_32: int	$0x34
	hlt

# Page faults. 0x200000 is not mapped; the PDE of 0x400000 is a read-only page, 0x600000 NX, 0x800000
# a user's, 0xa00000 has a reserved bit.
	.globl	absent_read, absent_write, read_only, absent_fetch, no_execute, reserved, fault_stack
1:	leaq	1f(%rip), %r15
absent_read: movl 0x201234, %eax
	hlt
1:	leaq	1f(%rip), %r15
absent_write: movl %eax, 0x201238
	hlt
1:	movq	%cr0, %rax
	orl	$0x10000, %eax
	movq	%rax, %cr0
	leaq	1f(%rip), %r15
read_only: movb	$1, 0x400010
	hlt
1:	leaq	1f(%rip), %r15
	movl	$0x200010, %eax
	jmp	*%rax
1:	leaq	1f(%rip), %r15
	movl	$0x600010, %eax
	jmp	*%rax
1:	leaq	1f(%rip), %r15
reserved: movl	0xa00000, %eax
	hlt

# A page fault whose handler has no stack: a double fault, on IST1.
1:	leaq	1f(%rip), %r15
	movl	$0x200800, %esp
double:	movl	0x201000, %eax
	hlt
	.globl	double
1:	leaq	stack_top(%rip), %rsp

# A page fault that is mended: the instruction is executed again.
	leaq	mend(%rip), %r14
	movl	$0x12345678, %edx
	movl	%edx, 0x200004
	xorl	%r14d, %r14d
	leaq	1f(%rip), %r15
	cmpl	%edx, 0x200004
	jne	2f
	int	$0x30
	.globl	mended
mended:	hlt
2:	ud2

# Ring 3: a system call, what it must not do, and a page that is not a user's.
	.globl	user_software, user_gate, user_flag, user_page
1:	leaq	1f(%rip), %r15
	leaq	3f(%rip), %rcx
	call	user
3:	int	$0x30
user_software:
	hlt
1:	leaq	1f(%rip), %r15
	leaq	user_gate(%rip), %rcx
	call	user
user_gate: int	$0x20
	hlt
1:	leaq	1f(%rip), %r15
	leaq	user_flag(%rip), %rcx
	call	user
user_flag: cli
	hlt
1:	leaq	1f(%rip), %r15
	leaq	user_page(%rip), %rcx
	call	user
user_page: movl	0x400000, %eax
	hlt

# Compatibility mode.
	.globl	compatible
1:	leaq	stack_top(%rip), %rsp
	leaq	1f(%rip), %r15
	movl	$compatible, %eax
	movl	$0x18, 4+far(%rip)
	movl	%eax, far(%rip)
	ljmpl	*far(%rip)
	.code32
compatible: divl %ecx
	hlt
	.code64

# The end: no IDT is a triple fault.
1:	movw	$0, idt_pointer(%rip)
	lidt	idt_pointer(%rip)
	.globl	triple
triple:	ud2

user:	# RCX: where
	addq	$8, %rsp
	pushq	$0x4b
	pushq	$0x80f000			# a stack of its own, that is mapped for it
	pushq	$0x2
	pushq	$0x43
	addq	$0x800000, %rcx			# the first 2 MiB once more, for users
	pushq	%rcx
	iretq

mend:	# a page table entry for 0x200000
	movl	$0x400083, %eax
	movq	%rax, 0x12008
	addq	$16, %rsp			# vector, error code
	iretq

# AL, RAX: little-endian bytes to the serial port; RBX, RCX, RDX change.
say8:	movb	%al, %bl
	movw	$0x3fd, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%bl, %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	ret
say64:	movl	$8, %ecx
	movq	%rax, %rsi
2:	movb	%sil, %al
	call	say8
	shrq	$8, %rsi
	loop	2b
	ret

# What an exception leads to: its vector on the stack, above what the processor has put there.
	.balign	16
stubs:
	.set	vector, 0
	.rept	64
	.balign	16
	pushq	$vector
	jmp	common
	.set	vector, vector + 1
	.endr
common:
	testq	%r14, %r14
	jz	1f
	jmp	*%r14
1:	movq	%rsp, %rbp
	leaq	report_top(%rip), %rsp
	movb	(%rbp), %al
	call	say8
	movq	%cr2, %rax
	call	say64
	movq	%rbp, %rax
	call	say64
	movl	$1, %edi
2:	movq	(%rbp,%rdi,8), %rax
	call	say64
	incl	%edi
	cmpl	$7, %edi
	jb	2b
	movl	$0x10, %eax
	movl	%eax, %ss
	leaq	stack_top(%rip), %rsp
	pushq	$2
	popfq
	jmp	*%r15

	.balign	16
gdt:	.quad	0
	.quad	0x00af9b000000ffff		# 08: 64-bit code
	.quad	0x00cf93000000ffff		# 10: data
	.quad	0x00cf9b000000ffff		# 18: 32-bit code
	.quad	0
	.quad	0x00cf13000000ffff		# 28: data that is not present
	.quad	0x0000890000000067, 0		# 30: TSS
	.quad	0x00affb000000ffff		# 40: 64-bit code of ring 3
	.quad	0x00cff3000000ffff		# 48: data of ring 3
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	16 * 64 - 1
	.quad	idt
far:	.quad	0
	.balign	16
tss:	.long	0
	.quad	ring0_top, 0, 0, 0
	.quad	ist1_top, 0, 0, 0, 0, 0, 0, 0
	.long	0x680000
	.balign	16
idt:	.fill	16 * 64, 1, 0
	.fill	512, 1, 0
ring0_top:
	.fill	512, 1, 0
ist1_top:
	.fill	512, 1, 0
report_top:
	.fill	1024, 1, 0
stack_top:
