/*
 * The boot sector, setup header (protocol 2.15) and real-mode setup code of the bzImages.
 *
 * Documentation/arch/x86/boot.rst. The Makefile gives the size of the protected-mode part, which is
 * linked on its own. A part that asks the BIOS what only the BIOS knows, writes it into a zero page
 * as Linux's own setup code does, and enters protected mode.
 */
#include "state.h"

#define SETUP_SECTS		15
#define LOADED_HIGH		0x01
#define CAN_USE_HEAP		0x80
#define E820_MAX		128
#define SMAP			0x534d4150

/* Offsets from the loaded image's start, and from CS, which lies 0x200 higher. */
#define DS(symbol)		((symbol) - boot_sector)
#define CS(symbol)		((symbol) - setup_entry)
#define STATE(field)		CS(state + STATE_##field)
#define PAGE(offset)		DS(zero_page + offset)

	.section .setup, "awx"
	.code16
boot_sector:
	.ascii	"this is no boot sector"
	.org	0x1ef
	.byte	0xff			/* the sentinel: a loader must not copy it to its zero page */
	.byte	0xff
	.org	0x1f1
	.byte	SETUP_SECTS		/* setup_sects */
	.word	0			/* root_flags */
	.long	CODE_SIZE / 16		/* syssize */
	.word	0			/* ram_size */
	.word	0xffff			/* vid_mode: normal */
	.word	0			/* root_dev */
	.word	0xaa55			/* boot_flag */
	.globl	setup_entry
setup_entry:
	.byte	0xeb, header_end - . - 1
	.ascii	"HdrS"
	.word	0x020f			/* version */
	.long	0			/* realmode_swtch */
	.word	0x1000			/* start_sys_seg */
	.word	CS(version)		/* kernel_version */
type_of_loader:
	.byte	0
loadflags:
	.byte	LOADED_HIGH
	.word	0			/* setup_move_size */
code32_start:
	.long	0x100000
	.long	0			/* ramdisk_image */
	.long	0			/* ramdisk_size */
	.long	0			/* bootsect_kludge */
heap_end_ptr:
	.word	0
	.byte	0			/* ext_loader_ver */
	.byte	0			/* ext_loader_type */
	.long	0			/* cmd_line_ptr */
	.long	0x7fffffff		/* initrd_addr_max */
	.long	KERNEL_ALIGNMENT	/* kernel_alignment */
	.byte	RELOCATABLE		/* relocatable_kernel */
	.byte	MIN_ALIGNMENT		/* min_alignment */
	.word	XLOADFLAGS		/* xloadflags */
	.long	2047			/* cmdline_size */
	.long	0			/* hardware_subarch */
	.quad	0			/* hardware_subarch_data */
	.long	0			/* payload_offset */
	.long	0			/* payload_length */
	.quad	0			/* setup_data */
	.quad	PREF_ADDRESS		/* pref_address */
	.long	INIT_SIZE		/* init_size */
	.long	0			/* handover_offset */
	.long	0x180			/* kernel_info_offset */
	.org	0x26c			/* where a header of protocol 2.15 ends */
header_end:

	/* Save first; CS is what we have been jumped to by. */
	movl	%eax, %cs:STATE(RAX)
	movl	%ecx, %cs:STATE(RCX)
	movl	%edx, %cs:STATE(RDX)
	movl	%ebx, %cs:STATE(RBX)
	movl	%esp, %cs:STATE(RSP)
	movl	%ebp, %cs:STATE(RBP)
	movl	%esi, %cs:STATE(RSI)
	movl	%edi, %cs:STATE(RDI)
	movw	%cs, %cs:STATE(CS)
	movw	%ds, %cs:STATE(DS)
	movw	%es, %cs:STATE(ES)
	movw	%fs, %cs:STATE(FS)
	movw	%gs, %cs:STATE(GS)
	movw	%ss, %cs:STATE(SS)
	movw	%cs, %ax
	movw	%ax, %ss
	movw	$CS(setup_stack_end), %sp
	pushfl
	popl	%cs:STATE(RFLAGS)
	pushl	$2
	popfl
	movl	%cr0, %eax
	movl	%eax, %cs:STATE(CR0)
	movl	%cr2, %eax
	movl	%eax, %cs:STATE(CR2)
	movl	%cr3, %eax
	movl	%eax, %cs:STATE(CR3)
	movl	%cr4, %eax
	movl	%eax, %cs:STATE(CR4)
	sgdtl	%cs:STATE(GDTR)
	sidtl	%cs:STATE(IDTR)

	/* One segment for all; 0x20 paragraphs below CS is where we were loaded. */
	movw	%cs, %ax
	subw	$0x20, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$DS(setup_stack_end), %sp
	movzwl	%ax, %ebp
	shll	$4, %ebp			/* our linear address, from here on */
	leal	0x200(%ebp), %eax
	movl	%eax, DS(state + STATE_RIP)
	cld
	cmpl	$0x5a5aaa55, DS(signature)	/* the last sectors are here too */
	jne	not_loaded

	/* The zero page: the header as the loader left it, and what the BIOS says. */
	movw	$0x1f1, %si
	movw	$PAGE(0x1f1), %di
	movw	$DS(header_end) - 0x1f1, %cx
	rep movsb

	sti					/* services of a BIOS may wait for interrupts */
	movw	$PAGE(0x2d0), %di
	xorl	%ebx, %ebx
1:	movl	$0xe820, %eax
	movl	$20, %ecx
	movl	$SMAP, %edx
	int	$0x15
	jc	2f
	cmpl	$SMAP, %eax
	jne	2f
	addw	$20, %di
	incb	PAGE(0x1e8)			/* e820_entries */
	cmpb	$E820_MAX, PAGE(0x1e8)
	je	2f
	testl	%ebx, %ebx
	jnz	1b
2:	movb	$0x88, %ah
	int	$0x15
	jc	3f
	movw	%ax, PAGE(2)			/* ext_mem_k */
3:	xorw	%cx, %cx
	xorw	%dx, %dx
	movw	$0xe801, %ax
	int	$0x15
	jc	5f
	jcxz	4f				/* some answer in CX and DX, some in AX and BX */
	movw	%cx, %ax
	movw	%dx, %bx
4:	movzwl	%bx, %edx
	shll	$6, %edx
	movzwl	%ax, %eax
	addl	%edx, %eax
	movl	%eax, PAGE(0x1e0)		/* alt_mem_k */
5:	int	$0x12
	movw	%ax, DS(base_memory)
	movw	$0x2401, %ax			/* A20 on */
	int	$0x15
	cli
	jnc	6f
	inb	$0x92, %al
	orb	$0x02, %al
	andb	$0xfe, %al
	outb	%al, $0x92
6:

	/* Protected mode, at the place that the code was loaded to. */
	leal	DS(setup_gdt)(%ebp), %eax
	movl	%eax, DS(setup_gdt_pointer) + 2
	lgdtl	DS(setup_gdt_pointer)
	movl	DS(code32_start), %eax
	addl	$0x100, %eax
	movl	%eax, DS(protected_mode)
	leal	PAGE(0)(%ebp), %esi
	leal	DS(state)(%ebp), %edi
	movzwl	%sp, %esp
	addl	%ebp, %esp			/* the stack stays where it is */
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	*%cs:CS(protected_mode)

not_loaded:
	movl	$1, %eax			/* nothing is there to say more */
	outl	%eax, $EXIT_PORT
	hlt
	jmp	not_loaded

protected_mode:
	.long	0
	.word	CODE32
	.balign	8
setup_gdt:
	.quad	0
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
setup_gdt_pointer:
	.word	0x1f
	.long	0
version:
	.asciz	"0.0.0-microkernel (hvmlite) #1"

	.balign	16
	/* After the state, for C: what the zero page has no field for. */
state:
	.fill	STATE_SIZE, 1, 0
base_memory:
	.long	0
	.fill	512, 1, 0
setup_stack_end:
	.org	0xa00
zero_page:
	.fill	0x1000, 1, 0
	.org	(SETUP_SECTS + 1) * 512 - 4
signature:
	.long	0x5a5aaa55
