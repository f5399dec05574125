# Real mode, in the first 64 KiB: as long.S, with four words of the stack.
	.code16
	.globl _start
_start:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$stack_top, %sp
	lidt	idt_pointer
	xorw	%di, %di
	movw	$stubs, %ax
	movw	$64, %cx
1:	movw	%ax, (%di)
	movw	$0, 2(%di)
	addw	$4, %di
	addw	$16, %ax
	loop	1b

	.globl	divide, single, breakpoint, overflow, bounds, invalid, no_device, limit, software
	movw	$1f, %bp
	xorw	%dx, %dx
	movw	$1, %ax
divide:	divw	%cx
	hlt
1:	movw	$1f, %bp
	pushfw
	popw	%ax
	orw	$0x100, %ax
	pushw	%ax
	popfw
	nop
single:	hlt
1:	movw	$1f, %bp
	int3
breakpoint:
	hlt
1:	movw	$1f, %bp
	movb	$0x7f, %al
	addb	$1, %al
	into
overflow:
	hlt
1:	movw	$1f, %bp
	movw	$9, %ax
bounds:	boundw	%ax, limits
	hlt
1:	movw	$1f, %bp
invalid: ud2
1:	movw	$1f, %bp
	movl	%cr0, %eax
	orb	$8, %al
	movl	%eax, %cr0
no_device: fnop
	hlt
1:	clts
	movw	$1f, %bp
	sti
	int	$0x30
software: hlt
1:	movw	$1f, %bp
limit:	int	$0x40				# beyond the table
	hlt
1:	movw	$0, idt_pointer
	lidt	idt_pointer
	ud2

say8:	movb	%al, %bl
	movw	$0x3fd, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%bl, %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	ret

	.balign	16
stubs:
	.set	vector, 0
	.rept	64
	.balign	16
	pushw	$vector
	jmp	common
	.set	vector, vector + 1
	.endr
common:
	movw	%sp, %si
	movw	$report_top, %sp
	lodsw
	call	say8
	leaw	-2(%si), %ax
	pushw	%ax
	call	say8
	popw	%ax
	movb	%ah, %al
	call	say8
	movw	$8, %cx
2:	lodsb
	call	say8
	loop	2b
	movw	$stack_top, %sp
	pushw	$2
	popfw
	jmp	*%bp

idt_pointer:
	.word	4 * 64 - 1
	.long	0
limits:	.word	1, 8
	.fill	512, 1, 0
report_top:
	.fill	512, 1, 0
stack_top:
	.fill	64, 1, 0
