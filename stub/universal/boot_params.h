/*
 * Fields of the zero page. Linux, arch/x86/include/uapi/asm/bootparam.h and
 * include/uapi/linux/screen_info.h; hvmlite.spec.linux has them all.
 */
#ifndef UNIVERSAL_BOOT_PARAMS_H
#define UNIVERSAL_BOOT_PARAMS_H

#include "universal.h"

#define EXT_MEM_K		0x002	/* of screen_info */
#define APM_BIOS_INFO		0x040
#define ACPI_RSDP_ADDR		0x070
#define EXT_RAMDISK_IMAGE	0x0c0
#define EXT_RAMDISK_SIZE	0x0c4
#define EXT_CMD_LINE_PTR	0x0c8
#define EFI_INFO		0x1c0
#define EFI_MEMDESC_SIZE	0x1c8
#define EFI_MEMMAP		0x1d0
#define EFI_MEMMAP_SIZE		0x1d4
#define EFI_MEMMAP_HIGH		0x1dc
#define ALT_MEM_K		0x1e0
#define E820_ENTRIES		0x1e8
#define SENTINEL		0x1ef
#define HEADER			0x1f1
#define HEADER_JUMP		0x201	/* the distance to the header's end */
#define HEADER_MAGIC		0x202
#define TYPE_OF_LOADER		0x210
#define LOADFLAGS		0x211
#define CODE32_START		0x214
#define RAMDISK_IMAGE		0x218
#define RAMDISK_SIZE		0x21c
#define CMD_LINE_PTR		0x228
#define XLOADFLAGS		0x236
#define SETUP_DATA		0x250
#define HEADER_END		0x290
#define E820_TABLE		0x2d0

#define HDRS			0x53726448	/* "HdrS" */
#define LOADFLAG_QUIET		0x20
#define XLF_CAN_BE_LOADED_ABOVE_4G 0x02
#define XLF_5LEVEL		0x20

#define VIDEO_TYPE_TEXT		0x01	/* VGA, as the kernel's own 16-bit code writes it */
#define VIDEO_TYPE_VLFB		0x23
#define VIDEO_TYPE_EFI		0x70
#define VIDEO_CAPABILITY_64BIT_BASE	2

struct screen_info {
	u8 orig_x, orig_y;
	u16 ext_mem_k, orig_video_page;
	u8 orig_video_mode, orig_video_cols, flags, unused2;
	u16 orig_video_ega_bx, unused3;
	u8 orig_video_lines, orig_video_isVGA;
	u16 orig_video_points, lfb_width, lfb_height, lfb_depth;
	u32 lfb_base, lfb_size;
	u16 cl_magic, cl_offset, lfb_linelength;
	u8 red_size, red_pos, green_size, green_pos, blue_size, blue_pos, rsvd_size, rsvd_pos;
	u16 vesapm_seg, vesapm_off, pages, vesa_attributes;
	u32 capabilities, ext_lfb_base;
	u8 reserved[2];
} PACKED;

struct efi_info {
	u32 signature, systab, memdesc_size, memdesc_version, memmap, memmap_size, systab_hi;
	u32 memmap_hi;
} PACKED;

#define SETUP_E820_EXT		1
#define SETUP_INDIRECT		0x80000000

struct setup_data {
	u64 next;
	u32 type, len;
} PACKED;

struct setup_indirect {
	u32 type, reserved;
	u64 len, addr;
} PACKED;

static inline void put32(struct handed *handed, u32 offset, u32 value)
{
	__builtin_memcpy(handed->zero_page + offset, &value, sizeof(value));
}

static inline void put64(struct handed *handed, u32 offset, u64 value)
{
	__builtin_memcpy(handed->zero_page + offset, &value, sizeof(value));
}

#endif
