/*
 * The one entry, `_start`, for every mode and every way in; docs/universal.md tells the whole way.
 *
 * Nothing is relied upon but what every document promises: code and scratch are where they were
 * linked to be, seen from here; flat segments in 32-bit mode, an identity map in 64-bit mode. No stack,
 * no descriptor table, no flag. All registers are saved before they are used.
 */
#include "layout.h"
#include "core.h"

#define AT(symbol)		((symbol) - start32)	/* which EBP points to */
#define ENTERED(field)		AT(entered) + ENTERED_##field
#define FIELD(field)		ENTERED_##field - ENTERED_CR0	/* from where (R|E)DI points to */

#define CR0_PG			0x80000000
#define CR4_PAE			0x20
#define CR4_CET_BIT		23
#define EFLAGS_ID		0x200000
#define EFER			0xc0000080
#define EFER_LME		0x100

/*
 * Scratch memory is zeros in the image, unless a monitor starts the image once more where it lies, or
 * has loaded no zeros. To clear it always is more than the issue's budget of instructions has: a word
 * of each KiB is looked at, and what a start always leaves. Then all is cleared, but for the stack.
 */
#define SAMPLE_STEP		0x400

	.section .start, "ax"
	.globl	_start
_start:
/* nopl (%esi), and a jump that 16-bit mode takes for the NOP's displacement. ABI.md 17.1 */
	.byte	0x0f, 0x1f, 0x06, 0xeb, 3f - 2f
	.code16
2:	jmp	start16
	.balign	4
/* The same with an address-size prefix: 32-bit mode takes the jump for the displacement. */
3:	.byte	0x67, 0x0f, 0x1f, 0x06, 0xeb, 5f - 4f
	.code32
4:	jmp	start32
	.code64
5:	jmp	start64

	.org	_start + PARAMS_OFFSET, 0	/* filled in by who makes an image */
	.org	_start + HEADER_OFFSET, 0
	.org	_start + HEADER_OFFSET + HEADER_SIZE, 0

	.text
	.code32
	.globl	start32
/*
 * Where are we? Only a call tells, and a call needs four bytes of RAM. There is conventional memory
 * below 0x7c00 on all that is a PC, whatever the registers point to; its content is put back at once.
 * Where there is none the stack must do, as it does on EFI. Debug registers keep what has no place yet.
 * Without paging every address may be read and what we read is physical: EFI may have it on.
 */
#define POCKET			0x7bfc

start32:
	movl	%esp, %dr0
	movl	%ebp, %dr1
	movl	%eax, %dr2
	movl	%cr0, %eax
	movl	%eax, %dr3
	movl	%eax, %ebp
	cli
	btrl	$31, %eax
	movl	%eax, %cr0
	movl	POCKET, %eax
	notl	%eax
	movl	%eax, POCKET
	cmpl	%eax, POCKET
	notl	%eax
	movl	%eax, POCKET
	jne	1f
	movl	$POCKET + 4, %esp
1:	call	2f
2:	popl	%ebp
	movl	%ebp, %esp
	je	3f
	movl	%dr0, %esp			/* nothing to put back */
	jmp	4f
3:	movl	%eax, POCKET
4:	subl	$AT(2b), %ebp			/* from here on: start32 */

/* The registers are on our stack while the rest of scratch memory is cleared, if it has to be. */
	leal	AT(stack_end)(%ebp), %esp
	pushfl
	cld
	movl	%dr2, %eax
	pushal
	leal	AT(tables)(%ebp), %edi
	movl	%edi, %esi
	leal	AT(stack)(%ebp), %ecx
	movl	ENTERED(BITS)(%ebp), %eax
1:	orl	(%esi), %eax
	addl	$SAMPLE_STEP, %esi
	cmpl	%ecx, %esi
	jb	1b
	testl	%eax, %eax
	jz	2f
	xorl	%eax, %eax
	subl	%edi, %ecx
	shrl	$2, %ecx
	rep stosl
2:	movl	$7, %ecx			/* the order of struct entered is that of PUSHA */
3:	popl	%eax
	movl	%eax, ENTERED(RAX)(%ebp, %ecx, 8)
	decl	%ecx
	jns	3b
	leal	ENTERED(CR0)(%ebp), %edi
	popl	FIELD(RFLAGS)(%edi)
	movl	%dr0, %eax
	movl	%eax, FIELD(RSP)(%edi)
	movl	%dr1, %eax
	movl	%eax, FIELD(RBP)(%edi)
	movl	%dr3, %eax
	movl	%eax, FIELD(CR0)(%edi)
	movl	%cr3, %eax
	movl	%eax, FIELD(CR3)(%edi)
	movl	%cr4, %eax
	btrl	$CR4_CET_BIT, %eax		/* as start64 does at once */
	movl	%eax, FIELD(CR4)(%edi)
	movl	$32, FIELD(BITS)(%edi)
	movw	%cs, FIELD(CS)(%edi)
	movw	%ds, FIELD(DS)(%edi)
	movw	%es, FIELD(ES)(%edi)
	movw	%fs, FIELD(FS)(%edi)
	movw	%gs, FIELD(GS)(%edi)
	movw	%ss, FIELD(SS)(%edi)
	sgdtl	FIELD(GDTR)(%edi)
	sidtl	FIELD(IDTR)(%edi)

/* Not even CPUID is there where a flag cannot be changed. */
check_processor:
	pushfl
	popl	%ecx
	xorl	$EFLAGS_ID, %ecx
	pushl	%ecx
	popfl
	pushfl
	popl	%eax
	xorl	%ecx, %eax
	testl	$EFLAGS_ID, %eax
	jnz	no_long_mode
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_long_mode
	movl	$0x80000001, %eax
	cpuid
	btl	$29, %edx
	jnc	no_long_mode

	movl	$EFER, %ecx
	rdmsr
	movl	%eax, FIELD(EFER)(%edi)
	movl	%edx, 4 + FIELD(EFER)(%edi)

/* An identity map of the stub and its scratch, which may lie on both sides of a boundary. */
first_map:
	leal	AT(tables)(%ebp), %esi
	leal	0x1003(%esi), %eax
	movl	%eax, (%esi)
	leal	0x2003(%esi), %edi
	leal	AT(_start)(%ebp), %eax
	call	map32
	leal	AT(_start) + SCRATCH_END - 1(%ebp), %eax
	call	map32
	subl	%esi, %edi
	shrl	$12, %edi
	movl	%edi, AT(tables_used)(%ebp)

	leal	AT(start_long)(%ebp), %ebx
	jmp	enter_long_mode

/* To EBX in 64-bit mode, on our own tables and segments. EBP: start32; EAX, ECX, EDX, ESI are lost. */
	.globl	enter_long_mode
enter_long_mode:
	leal	AT(tables)(%ebp), %esi
	movl	%esi, %cr3
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	subl	$8, %esp
	leal	AT(gdt)(%ebp), %eax
	movl	%eax, 2(%esp)
	movw	$gdt_end - gdt - 1, (%esp)
	lgdtl	(%esp)
	addl	$8, %esp
	movl	$0x80000031, %eax		/* PG, NE, ET, PE */
	movl	%eax, %cr0
	pushl	$CODE64
	leal	AT(1f)(%ebp), %eax
	pushl	%eax
	lretl
	.code64
1:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	%ebx, %ebx			/* upper halves are undefined */
	jmp	*%rbx
	.code32

/* Maps the 2 MiB around EAX. EDI: the next unused table, and 3; ESI: the first. */
map32:
	movl	%eax, %ebx
	shrl	$30, %ebx
	leal	0x1000(%esi, %ebx, 8), %ebx
	cmpl	$0, (%ebx)
	jne	1f
	movl	%edi, (%ebx)
	addl	$0x1000, %edi
1:	movl	(%ebx), %ebx
	andl	$0xfffff000, %ebx
	movl	%eax, %ecx
	shrl	$21, %ecx
	andl	$511, %ecx
	andl	$0xffe00000, %eax
	orl	$0x83, %eax
	movl	%eax, (%ebx, %ecx, 8)
	ret

no_long_mode:
	leal	AT(no_long_mode_text)(%ebp), %esi
1:	lodsb
	testb	%al, %al
	jz	3f
	movb	%al, %bl
	movw	$0x3fd, %dx
	movl	$0x10000, %ecx			/* no longer than any port is busy */
2:	inb	%dx, %al
	testb	$0x20, %al
	loopz	2b
	movb	%bl, %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	outb	%al, $0xe9
	jmp	1b
3:	movb	$STOP_STATUS, %al
	outb	%al, $STOP_PORT
4:	cli
	hlt
	jmp	4b

no_long_mode_text:
	.asciz	"hvmlite: processor: no long mode, a 64-bit processor is needed\r\n"

	.code64
start_long:
	leaq	stack_end(%rip), %rsp
	call	start

start64:
	movq	%rsp, stack_end(%rip)
	leaq	stack_end(%rip), %rsp
	pushfq
	cli
	cld
	.irp	number, 15, 14, 13, 12, 11, 10, 9, 8
	pushq	%r\number
	.endr
	.irp	name, di, si, bp
	pushq	%r\name
	.endr
	pushq	stack_end(%rip)
	.irp	name, bx, dx, cx, ax
	pushq	%r\name
	.endr
	leaq	tables(%rip), %rdi
	movq	%rdi, %rsi
	leaq	stack(%rip), %rcx
	movl	entered + ENTERED_BITS(%rip), %eax
1:	orl	(%rsi), %eax
	addq	$SAMPLE_STEP, %rsi
	cmpq	%rcx, %rsi
	jb	1b
	testl	%eax, %eax
	jz	2f
	xorl	%eax, %eax
	subq	%rdi, %rcx
	shrq	$2, %rcx
	rep stosl
2:	movq	%rsp, %rsi			/* RAX to RFLAGS, as struct entered has them */
	leaq	entered(%rip), %rdi
	movl	$(ENTERED_CR0 - ENTERED_RAX) / 8, %ecx
	rep movsq
	movq	%cr0, %rax
	movq	%rax, FIELD(CR0)(%rdi)
	movq	%cr3, %rax
	movq	%rax, FIELD(CR3)(%rdi)
/* A shadow stack knows nothing of far returns to what was pushed, nor of a stack that is left. For good. */
	movq	%cr4, %rax
	btrq	$CR4_CET_BIT, %rax
	movq	%rax, %cr4
	movq	%rax, FIELD(CR4)(%rdi)
	movl	$EFER, %ecx
	rdmsr
	movl	%eax, FIELD(EFER)(%rdi)
	movl	%edx, FIELD(EFER) + 4(%rdi)
	movl	$64, FIELD(BITS)(%rdi)
	movw	%cs, FIELD(CS)(%rdi)
	movw	%ds, FIELD(DS)(%rdi)
	movw	%es, FIELD(ES)(%rdi)
	movw	%fs, FIELD(FS)(%rdi)
	movw	%gs, FIELD(GS)(%rdi)
	movw	%ss, FIELD(SS)(%rdi)
	sgdt	FIELD(GDTR)(%rdi)
	sidt	FIELD(IDTR)(%rdi)
	call	start

/* Stubs of four bytes each for the exceptions: trap() gets the vector, the error code, RIP. */
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	TRAPS
	pushq	$vector
	jmp	1f
	.set	vector, vector + 1
	.endr
	.org	trap_stubs + 4 * TRAPS
1:	cld
	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	trap

	.section .rodata, "a"
	.balign	8
	.globl	gdt
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff		/* CODE32 */
	.quad	0x00af9b000000ffff		/* CODE64 */
	.quad	0x00cf93000000ffff		/* DATA */
gdt_end:

/* The last of scratch memory. */
	.section .bss_stack, "aw", @nobits
	.balign	16
stack:	.skip	STACK_SIZE
	.globl	stack_end
stack_end:
	.skip	16				/* RSP, until all is saved */

	.section .note.GNU-stack, "", @progbits
