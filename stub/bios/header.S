/* SPDX-License-Identifier: MIT */
/*
 * BIOS services for guests that are started in real mode without firmware.
 *
 * It has no power-on code: whoever loads it fills the interrupt vectors, the BIOS data area, the
 * fields below and the memory map behind the code (src/hvmlite/guest/bios.py), and enters the
 * guest. It may lie at any multiple of 16; all vectors point into that one segment. The machine has
 * a serial port for a console, no video adapter, no drives, and A20 is always on.
 *
 * Handlers run on the caller's stack and change no register but those that hold an answer; the
 * upper halves of 32-bit registers are registers, too.
 */

	.code16
	.section .header, "aw"
	.globl	header, map_count, below_16m_kib, above_16m_blocks, extended_kib
header:
	.ascii	"HVMLBIOS"
	.word	map			/* 08: where the memory map begins, hence the length */
	.word	vectors			/* 0A: 256 words: where each vector's handler is */
/* From here on the loader writes. */
map_count:
	.word	0			/* 0C: records in the map, RECORD bytes each */
below_16m_kib:
	.word	0			/* 0E: RAM from 1 to 16 MiB, in KiB (INT 15h, E801h) */
above_16m_blocks:
	.word	0			/* 10: RAM from 16 MiB on, in 64 KiB (INT 15h, E801h) */
extended_kib:
	.word	0			/* 12: RAM from 1 MiB on, in KiB (INT 15h, 88h) */
