/*
 * A kernel that does what kexec does: started by PVH, it enters the universal image that is its module
 * by Linux's 64-bit protocol. LA57: on 5-level page tables. HIGH: where the module is, or 0; it is
 * copied there.
 */
#define HEAD		0x4000		/* where the protected-mode part begins in the module */
#if LA57
#define ROOT		pml5
#define CR4		0x1020
#else
#define ROOT		pml4
#define CR4		0x20
#endif

	.section .note, "a", @note
	.long	4, 4, 18
	.asciz	"Xen"
	.long	start

	.text
	.code32
	.globl	start
start:
	movl	$stack, %esp
	cld
	movl	%ebx, %ebp			/* struct hvm_start_info */
	movl	$page, %edi
	movl	$0x53726448, 0x202(%edi)	/* "HdrS" */
	movb	$0xff, 0x210(%edi)
	movl	24(%ebp), %eax
	movl	%eax, 0x228(%edi)
	movl	48(%ebp), %ecx			/* memory map: 24 bytes each, 20 in the page */
	movb	%cl, 0x1e8(%edi)
	movl	40(%ebp), %esi
	leal	0x2d0(%edi), %edi
1:	pushl	%ecx
	movl	$5, %ecx
	rep movsl
	popl	%ecx
	addl	$4, %esi
	loop	1b
	movl	16(%ebp), %eax			/* the module list */
	movl	(%eax), %ebx
	movl	8(%eax), %ebp

	movl	$pml4 + 3, pml5
	movl	$pdpt + 3, pml4
	movl	$0x83, %eax			/* eight pages of a gigabyte */
	xorl	%edx, %edx
	movl	$pdpt, %edi
	movl	$8, %ecx
1:	movl	%eax, (%edi)
	movl	%edx, 4(%edi)
	addl	$0x40000000, %eax
	adcl	$0, %edx
	addl	$8, %edi
	loop	1b
	movl	$ROOT, %eax
	movl	%eax, %cr3
	movl	$CR4, %eax
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	lgdtl	gdt_pointer
	movl	$0x80000011, %eax
	movl	%eax, %cr0
	ljmpl	$0x10, $1f
	.code64
1:	movl	%ebx, %esi
	movabsq	$HIGH, %rbx
	testq	%rbx, %rbx
	cmovzq	%rsi, %rbx
	movq	%rbx, %rdi
	movl	%ebp, %ecx
	rep movsb
	addq	$HEAD + 0x200, %rbx
	movl	$page, %esi
	xorl	%eax, %eax
	xorl	%edx, %edx
	jmp	*%rbx

	.balign	8
gdt:	.quad	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.bss
	.balign	0x1000
page:	.skip	0x1000
pml5:	.skip	0x1000
pml4:	.skip	0x1000
pdpt:	.skip	0x1000
	.skip	0x1000
stack:
