/*
 * What is known of the first instruction: assembly stores it, C reads it.
 *
 * The offsets are those of struct entry_state in microkernel.h, which checks them.
 */
#ifndef STATE_H
#define STATE_H

/* Entry ABIs. */
#define LINUX16			1
#define LINUX32			2
#define LINUX64			3
#define PVH			4
#define MULTIBOOT1		5
#define MULTIBOOT2		6

/* Bits of entry_state.failed: what only the entry code can find out. */
#define FAILED_CS		0x01	/* not flat, or not readable */
#define FAILED_DS		0x02
#define FAILED_ES		0x04
#define FAILED_SS		0x08
#define FAILED_FS		0x10
#define FAILED_GS		0x20
#define FAILED_GDT		0x40	/* no __BOOT_CS and __BOOT_DS in it, or they cannot be loaded */
#define FAILED_FAULT		0x80	/* a fault where none was expected, before C has its IDT */

/* Selectors of our own GDT; the first two are Linux's __BOOT_CS and __BOOT_DS. */
#define CODE32			0x10
#define DATA			0x18
#define CODE64			0x20
#define GDT_LIMIT		0x27

#define EXIT_PORT		0xf4	/* QEMU's isa-debug-exit */
#define EXIT_TRAP		2

#define GIGABYTES		16	/* that our own page tables map */

#define STATE_RAX		0x000
#define STATE_RCX		0x008
#define STATE_RDX		0x010
#define STATE_RBX		0x018
#define STATE_RSP		0x020
#define STATE_RBP		0x028
#define STATE_RSI		0x030
#define STATE_RDI		0x038
#define STATE_R8		0x040
#define STATE_RIP		0x080
#define STATE_RFLAGS		0x088
#define STATE_CR0		0x090
#define STATE_CR2		0x098
#define STATE_CR3		0x0a0
#define STATE_CR4		0x0a8
#define STATE_CR8		0x0b0
#define STATE_EFER		0x0b8
#define STATE_CS		0x0c0
#define STATE_DS		0x0c8
#define STATE_ES		0x0d0
#define STATE_FS		0x0d8
#define STATE_GS		0x0e0
#define STATE_SS		0x0e8
#define STATE_TR		0x0f0
#define STATE_LDTR		0x0f8
#define STATE_GDTR		0x100	/* limit, then base */
#define STATE_IDTR		0x110
#define STATE_ABI		0x120
#define STATE_FAILED		0x124
#define STATE_FAULT_IP		0x128
#define STATE_SETUP		0x130	/* linux16: address of the state that the setup code saved */
#define STATE_PAGE		0x138	/* linux16: address of the zero page that it made */
#define STATE_SIZE		0x140

#endif
