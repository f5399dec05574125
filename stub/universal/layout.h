/* Where things are, for C, assembly and the tests. docs/universal.md has the pictures. */
#ifndef UNIVERSAL_LAYOUT_H
#define UNIVERSAL_LAYOUT_H

/* Offsets from _start, the stub's first byte. */
#define PARAMS_OFFSET		0x40	/* struct params */
#define HEADER_OFFSET		0x140	/* the wrapped kernel's setup header, 0x1F1 to 0x290 of its file */
#define STUB16_SIZE		0x1000	/* up to here lies what 16-bit mode needs, _start included */
#define STUB_MAX		0x6000	/* the whole: 24 KiB */
#define SCRATCH_OFFSET		0x6000	/* stack, page tables, zero page, map: RAM of our own */
#define SCRATCH_END		0x1f000
#define PAYLOAD_OFFSET		0x1f000	/* command line, initrd, kernel */

/* Offsets in file B, the ELF: its headers and notes are one page, _start is behind them. */
#define ELF_STUB_OFFSET		0x1000

/*
 * Offsets in file A. Sector 0 with the BIOS's boot code and Linux's setup header; the headers that
 * hvmlite writes; 16-bit code that reads the disk; the stub's first STUB16_SIZE bytes once more;
 * room for the 16-bit part's zero page and stack; the protected-mode part: a page with jumps to
 * _start, and file B.
 */
#define HEAD_ID			0x1a8	/* 16 bytes that no other image has: how the boot code knows its drive */
#define HEAD_HEADERS		0x290	/* PE, multiboot1, multiboot2 */
#define HEAD_CODE		0x600
#define HEAD_STUB16		0x1000
#define HEAD_ZERO_PAGE		0x2000
#define HEAD_STACK		0x3ff0	/* its top; HEAD_END_MARK is above */
#define HEAD_SIZE		0x4000	/* setup_sects = 31 */
#define HEAD_END_MARK		0x5a5aaa55	/* its last four bytes: all of it was loaded */
#define PROTECTED_ENTRY32	0x000	/* offsets from HEAD_SIZE */
#define PROTECTED_HANDOVER	0x010	/* the 64-bit one 0x200 behind it */
#define PROTECTED_ENTRY64	0x200
#define PROTECTED_ELF		0x1000

#define PARAMS_MAGIC		0x554d5648	/* "HVMU" */
#define PARAMS_VERSION		1
#define PARAMS_RELOCATABLE	1
#define KERNEL_BZIMAGE64	1	/* protected-mode part of a bzImage, 64-bit Linux entry */
#define KERNEL_BZIMAGE32	2	/* the same, 32-bit Linux entry */
#define KERNEL_ELF64		3	/* a vmlinux as it lies in memory, 64-bit Linux entry */
#define KERNEL_ELF32		4

#define MAX_MODULES		64
#define MAX_MAP			1024
#define MAX_KEPT		64

#endif
