# 32-bit protected mode with paging: as long.S. The first 4 MiB are mapped, 0x400000 is not, 0x800000
# is read-only, 0xc00000 is the first 4 MiB once more, for users.
	.code32
	.globl _start
_start:
	movl	$stack_top, %esp
	lgdt	gdt_pointer
	ljmp	$8, $1f
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$idt, %edi
	movl	$stubs, %esi
	movl	$64, %ecx
2:	movl	%esi, %eax
	movw	%ax, (%edi)
	movw	$8, 2(%edi)
	movw	$0x8e00, 4(%edi)
	shrl	$16, %eax
	movw	%ax, 6(%edi)
	addl	$8, %edi
	addl	$16, %esi
	loop	2b
	movw	$0xee00, idt+8*0x30+4		# INT 30h: for ring 3 too
	movw	$0, idt+8*0x31+4		# no gate at all
	movw	$0x0e00, idt+8*0x32+4		# not present
	movw	$0x8f00, idt+8*0x33+4		# a trap gate
	movw	$gate16 - _start, idt+8*0x34	# a 16-bit interrupt gate
	movw	$0x38, idt+8*0x34+2
	movl	$0x8600, idt+8*0x34+4
	movw	$0x20, idt+8*0x35+2		# a segment that is no code
	lidt	idt_pointer
	movl	$tss, %eax
	movw	%ax, gdt+0x30+2
	shrl	$16, %eax
	movb	%al, gdt+0x30+4
	movl	$_start, %eax
	movw	%ax, gdt+0x38+2
	shrl	$16, %eax
	movb	%al, gdt+0x38+4
	movl	$0x30, %eax
	ltr	%ax

	.globl	divide, single, breakpoint, overflow, bounds, invalid, no_device, task, not_present
	.globl	stack_segment, general, coprocessor, software, gate_missing, gate_not_present
	.globl	gate_trap, gate_16, gate_data
	movl	$1f, %ebp
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	movl	$1, %eax
divide:	divl	%ecx
	hlt
1:	movl	$1f, %ebp
	pushfl
	orl	$0x100, (%esp)
	popfl
	nop
single:	hlt
1:	movl	$1f, %ebp
	int3
breakpoint:
	hlt
1:	movl	$1f, %ebp
	movb	$0x7f, %al
	addb	$1, %al
	into
overflow:
	hlt
1:	movl	$1f, %ebp
	movl	$9, %eax
bounds:	boundl	%eax, limits
	hlt
1:	movl	$1f, %ebp
invalid: ud2
1:	movl	$1f, %ebp
	movl	%cr0, %eax
	orl	$8, %eax
	movl	%eax, %cr0
no_device: fnop
	hlt
1:	clts
	movl	$1f, %ebp
	pushfl
	orl	$0x4000, (%esp)			# NT, and no task to return to
	popfl
task:	iretl
	hlt
1:	movl	$1f, %ebp
	movl	$0x28, %eax
not_present: movl %eax, %es
	hlt
1:	movl	$1f, %ebp
	movl	$0x28, %eax
stack_segment: movl %eax, %ss
	hlt
1:	movl	$1f, %ebp
	movl	$0x7f8, %eax			# beyond the GDT
general: movl	%eax, %ds
	hlt
1:	movl	$1f, %ebp
	movl	%cr0, %eax
	orl	$0x20, %eax			# NE
	movl	%eax, %cr0
	fninit
	fldcw	control				# a division by zero is an exception
	fldz
	fld1
	fdivp
coprocessor: fwait
	hlt
1:	fninit
	movl	$1f, %ebp
	sti
	int	$0x30
software: hlt
1:	movl	$1f, %ebp
gate_missing: int $0x31
	hlt
1:	movl	$1f, %ebp
gate_not_present: int $0x32
	hlt
1:	movl	$1f, %ebp
	sti
	int	$0x33
gate_trap: hlt
1:	cli
	movl	$1f, %ebp
	int	$0x34
gate_16: hlt
1:	movl	$1f, %ebp
gate_data: int	$0x35
	hlt

	.globl	absent_read, absent_write, read_only, mended, user_software, user_gate, user_flag
	.globl	user_page, double
1:	movl	$1f, %ebp
absent_read: movl 0x401234, %eax
	hlt
1:	movl	$1f, %ebp
absent_write: movl %eax, 0x401238
	hlt
1:	movl	%cr0, %eax
	orl	$0x10000, %eax			# WP
	movl	%eax, %cr0
	movl	$1f, %ebp
read_only: movb	$1, 0x800010
	hlt

# A page fault that is mended: the instruction is executed again.
1:	movl	$mend, %ebp
	movl	$0x12345678, %edx
	movl	%edx, 0x400004
	movl	$1f, %ebp
	cmpl	%edx, 0x400004
	jne	2f
	int	$0x30
mended:	hlt
2:	ud2

1:	movl	$1f, %ebp
	movl	$2f, %ecx
	jmp	user
2:	int	$0x30
user_software:
	hlt
1:	movl	$1f, %ebp
	movl	$user_gate, %ecx
	jmp	user
user_gate: int	$0x20
	hlt
1:	movl	$1f, %ebp
	movl	$user_flag, %ecx
	jmp	user
user_flag: cli
	hlt
1:	movl	$1f, %ebp
	movl	$user_page, %ecx
	jmp	user
user_page: movl	0x800000, %eax
	hlt

# General protection whose handler is not present: a double fault. No IDT: a triple fault.
1:	movl	$1f, %ebp
	movw	$0x0e00, idt+8*13+4
	movl	$0x7f8, %eax
double:	movl	%eax, %ds
	hlt
1:	movw	$0, idt_pointer
	lidt	idt_pointer
	ud2

user:	# ECX: where
	pushl	$0x4b
	pushl	$0xc0f000			# a stack of its own, that is mapped for it
	pushl	$0x2
	pushl	$0x43
	addl	$0xc00000, %ecx
	pushl	%ecx
	iretl

mend:	# never reached: what EBP is when the handler shall return
	ud2

gate16:	# from a 16-bit gate, in a segment that begins at _start
	pushl	$0x34
	ljmp	$8, $common

say8:	movb	%al, %bl
	movw	$0x3fd, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%bl, %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	ret
say32:	movl	$4, %ecx
	pushl	%eax
1:	movb	(%esp), %al
	call	say8
	shrl	$8, (%esp)
	loop	1b
	popl	%eax
	ret

	.balign	16
stubs:
	.set	vector, 0
	.rept	64
	.balign	16
	pushl	$vector
	jmp	common
	.set	vector, vector + 1
	.endr
common:
	cmpl	$mend, %ebp
	jne	1f
	movl	$0x800083, 0x10004		# a page for 0x400000
	addl	$8, %esp			# vector, error code
	iretl
1:	movl	%esp, %esi
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	$report_top, %esp
	movb	(%esi), %al
	call	say8
	movl	%cr2, %eax
	call	say32
	movl	%esi, %eax
	call	say32
	movl	$1, %edi
2:	movl	(%esi,%edi,4), %eax
	call	say32
	incl	%edi
	cmpl	$7, %edi
	jb	2b
	movl	$0x10, %eax
	movl	%eax, %ss
	movl	$stack_top, %esp
	pushl	$2
	popfl
	jmp	*%ebp

	.balign	16
gdt:	.quad	0
	.quad	0x00cf9b000000ffff		# 08: code
	.quad	0x00cf93000000ffff		# 10: data
	.quad	0x00cf9b000000ffff		# 18
	.quad	0x00cf93000000ffff		# 20: data, for a gate that wants code
	.quad	0x00cf13000000ffff		# 28: data that is not present
	.quad	0x0000890000000067		# 30: TSS
	.quad	0x00cf9b000000ffff		# 38: code from _start on
	.quad	0x00cffb000000ffff		# 40: code of ring 3
	.quad	0x00cff3000000ffff		# 48: data of ring 3
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:
	.word	8 * 64 - 1
	.long	idt
limits:	.long	1, 8
control: .word	0x37b
	.balign	16
tss:	.long	0, ring0_top, 0x10
	.fill	22, 4, 0
	.long	0x680000
	.balign	16
idt:	.fill	8 * 64, 1, 0
	.fill	512, 1, 0
ring0_top:
	.fill	512, 1, 0
report_top:
	.fill	1024, 1, 0
stack_top:
	.fill	64, 1, 0
