/*
 * The 32-bit entries: protected mode, no paging.
 *
 * Built for one ABI at a time. Nothing is relied upon but what that ABI's document promises: no
 * stack, no descriptor table, no direction flag, and of the general registers only the one or two
 * that are named. Everything is saved before it is touched.
 */
#include "state.h"

	.section .text.entry, "ax"
	.code32

/*
 * Where are we? A kernel that may have been moved learns it from a call, and a call needs a stack
 * of four bytes. POCKET is a double word that the loader handed over in RAM and that is put back at
 * once; Linux and Xen do the same. Meanwhile debug registers keep what has no other place.
 */
#if ABI <= LINUX64
#define ENTRY_ABI		LINUX32
#define POCKET			0x1e4(%esi)	/* "scratch" of the zero page */
#elif ABI == PVH
#define ENTRY_ABI		PVH
#define POCKET			0(%ebx)		/* "magic" of the start info */
#elif ABI == MULTIBOOT2
#define ENTRY_ABI		MULTIBOOT2
#define POCKET			4(%ebx)		/* "reserved" of the boot information */
#else
#define ENTRY_ABI		ABI
#endif

#ifdef BZIMAGE
#define ENTERED			head		/* which jumps to us */
#else
#define ENTERED			entry32
#endif

#define AT(symbol)		((symbol) - base)
#define STATE(field)		(entry_state + STATE_##field - base)

	.globl	entry32
entry32:
	movl	%esp, %dr0
#if MOVABLE
	movl	%ebp, %dr1
	movl	POCKET, %ebp
	leal	4 + POCKET, %esp
	call	base
base:	popl	%esp
	movl	%ebp, POCKET
	movl	%dr1, %ebp
#else
	movl	$base, %esp
base:
#endif
	movl	%eax, STATE(RAX)(%esp)
	movl	%ecx, STATE(RCX)(%esp)
	movl	%edx, STATE(RDX)(%esp)
	movl	%ebx, STATE(RBX)(%esp)
	movl	%ebp, STATE(RBP)(%esp)
	movl	%esi, STATE(RSI)(%esp)
	movl	%edi, STATE(RDI)(%esp)
	movl	%esp, %ebp			/* from here on: the address of `base` */
	movl	%dr0, %eax
	movl	%eax, STATE(RSP)(%ebp)
	leal	AT(stack_end)(%ebp), %esp
	pushfl
	popl	STATE(RFLAGS)(%ebp)
	pushl	$2
	popfl					/* the direction flag, nested task: gone */
	movl	%cr0, %eax
	movl	%eax, STATE(CR0)(%ebp)
	movl	%cr2, %eax
	movl	%eax, STATE(CR2)(%ebp)
	movl	%cr3, %eax
	movl	%eax, STATE(CR3)(%ebp)
	movl	%cr4, %eax
	movl	%eax, STATE(CR4)(%ebp)
	movw	%cs, STATE(CS)(%ebp)
	movw	%ds, STATE(DS)(%ebp)
	movw	%es, STATE(ES)(%ebp)
	movw	%fs, STATE(FS)(%ebp)
	movw	%gs, STATE(GS)(%ebp)
	movw	%ss, STATE(SS)(%ebp)
	str	STATE(TR)(%ebp)
	sldt	STATE(LDTR)(%ebp)
	sgdtl	STATE(GDTR)(%ebp)
	sidtl	STATE(IDTR)(%ebp)
	leal	AT(ENTERED)(%ebp), %eax
	movl	%eax, STATE(RIP)(%ebp)
	movl	$ENTRY_ABI, STATE(ABI)(%ebp)
	call	save_efer
	call	load_tables			/* segment registers keep what they hold */

/*
 * The hidden parts of the loader's segment registers: base 0, limit 4 GiB - 1, and the rights. A
 * wrong limit or right is a fault, which `fault` turns into a failure. (QEMU's TCG looks at neither;
 * KVM does.)
 */
	.macro	FLAT segment, bit, writable
	leal	AT(.Lfailed\@)(%ebp), %eax
	movl	%eax, AT(resume)(%ebp)
	cmpl	$0x600d5e65, \segment:AT(mark)(%ebp)
	jne	.Lfailed\@
	movl	\segment:0xfffffffc, %eax
	.if	\writable
	notl	\segment:AT(mark)(%ebp)
	cmpl	$~0x600d5e65, AT(mark)(%ebp)
	movl	$0x600d5e65, AT(mark)(%ebp)
	jne	.Lfailed\@
	.endif
	jmp	.Lheld\@
.Lfailed\@:
	orl	$\bit, STATE(FAILED)(%ebp)
.Lheld\@:
	movl	$0, AT(resume)(%ebp)
	.endm

segments:
	FLAT	%cs, FAILED_CS, 0
	FLAT	%ds, FAILED_DS, 1
	FLAT	%es, FAILED_ES, 1
	FLAT	%ss, FAILED_SS, 1
#if ENTRY_ABI == MULTIBOOT1 || ENTRY_ABI == MULTIBOOT2
	FLAT	%fs, FAILED_FS, 1
	FLAT	%gs, FAILED_GS, 1
#endif

#if ENTRY_ABI == LINUX32
/*
 * boot.rst: the loaded GDT has __BOOT_CS and __BOOT_DS, flat. It is read first and used then, since
 * nobody survives a wrong one.
 */
#define UNSAID			0x100100	/* accessed, and available to software */
	cmpw	$0x1f, STATE(GDTR)(%ebp)
	jb	3f
	movl	STATE(GDTR) + 2(%ebp), %ebx
	movl	$0x0000ffff, %eax
	cmpl	%eax, 0x10(%ebx)
	jne	3f
	cmpl	%eax, 0x18(%ebx)
	jne	3f
	movl	0x14(%ebx), %eax
	andl	$~UNSAID, %eax
	cmpl	$0x00cf9a00, %eax
	jne	3f
	movl	0x1c(%ebx), %eax
	andl	$~UNSAID, %eax
	cmpl	$0x00cf9200, %eax
	jne	3f
	lgdtl	STATE(GDTR)(%ebp)
	pushl	$0x10
	leal	AT(1f)(%ebp), %eax
	pushl	%eax
	lretl
1:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	call	load_tables
	jmp	own_segments
3:	orl	$FAILED_GDT, STATE(FAILED)(%ebp)
#endif

own_segments:
	pushl	$CODE32
	leal	AT(1f)(%ebp), %eax
	pushl	%eax
	lretl
1:	call	load_data
	xorl	%eax, %eax
	lldt	%ax

/* Into C: as we are, or in 64-bit mode with page tables of our own. */
#ifndef __x86_64__
	leal	STATE(RAX)(%ebp), %eax
	subl	$12, %esp
	pushl	%eax
	call	start
#else
	leal	AT(pml4)(%ebp), %edi
	movl	%edi, %cr3
	leal	AT(pdpt) + 3(%ebp), %eax
	movl	%eax, (%edi)
	leal	AT(pdpt)(%ebp), %edi
	leal	AT(identity) + 3(%ebp), %eax
	movl	$GIGABYTES, %ecx
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x1000, %eax
	loop	1b
	movl	$0x20, %eax			/* PAE, and nothing that was left there */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx		/* EFER: LME */
	movl	$0x100, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$0x80000031, %eax		/* PG, NE, ET, PE */
	movl	%eax, %cr0
	pushl	$CODE64
	leal	AT(1f)(%ebp), %eax
	pushl	%eax
	lretl
	.code64
1:	leaq	entry_state(%rip), %rdi
	call	start
	.code32
#endif

save_efer:
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	1f
	movl	$0x80000001, %eax
	cpuid
	testl	$0x20100000, %edx		/* long mode or no-execute: there is an EFER */
	jz	1f
	movl	$0xc0000080, %ecx
	rdmsr
	movl	%eax, STATE(EFER)(%ebp)
	movl	%edx, STATE(EFER) + 4(%ebp)
1:	ret

/* Our own GDT and IDT; no segment register is loaded. */
load_tables:
	leal	AT(gdt)(%ebp), %eax
	movl	%eax, AT(gdt_pointer) + 2(%ebp)
	lgdtl	AT(gdt_pointer)(%ebp)
	leal	AT(idt32)(%ebp), %edi
	movl	%edi, AT(idt32_pointer) + 2(%ebp)
	leal	AT(fault)(%ebp), %eax
	movl	$32, %ecx
1:	movw	%ax, %ss:(%edi)			/* as all that %ebp addresses */
	movw	$CODE32, %ss:2(%edi)
	movl	%eax, %ss:4(%edi)
	movw	$0x8e00, %ss:4(%edi)		/* an interrupt gate */
	addl	$8, %edi
	loop	1b
	lidtl	AT(idt32_pointer)(%ebp)
	ret

load_data:
	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	ret

/*
 * Any exception of this file: what was tried failed. Where nothing was tried C is told; a second
 * time nobody can be told but by the status.
 */
fault:
	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	(%esp), %ecx
	leal	AT(stack_end)(%ebp), %esp
	movl	AT(resume)(%ebp), %eax
	testl	%eax, %eax
	jz	1f
	jmp	*%eax
1:	testl	$FAILED_FAULT, STATE(FAILED)(%ebp)
	jnz	2f
	orl	$FAILED_FAULT, STATE(FAILED)(%ebp)
	movl	%ecx, STATE(FAULT_IP)(%ebp)
	jmp	own_segments
2:	movl	$EXIT_TRAP, %eax
	outl	%eax, $EXIT_PORT
	hlt
	jmp	2b

#if ABI <= LINUX64
/* From our own setup code (entry16.S): flat code and a stack; ESI zero page, EDI its state. */
	.globl	from_setup
from_setup:
	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	call	1f
1:	popl	%ebp
	leal	base - 1b(%ebp), %ebp
	leal	AT(stack_end)(%ebp), %esp
	movl	$LINUX16, STATE(ABI)(%ebp)
	movl	%esi, STATE(PAGE)(%ebp)
	movl	%edi, STATE(SETUP)(%ebp)
	call	load_tables
	jmp	own_segments
#endif

	.data
	.balign	8
mark:
	.long	0x600d5e65
resume:
	.long	0
	.word	0
gdt_pointer:
	.word	GDT_LIMIT
	.long	0
	.word	0
idt32_pointer:
	.word	32 * 8 - 1
	.long	0
idt32:
	.fill	32, 8, 0
