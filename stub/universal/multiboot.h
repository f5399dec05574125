/* What both versions of multiboot have in common. */
#ifndef UNIVERSAL_MULTIBOOT_H
#define UNIVERSAL_MULTIBOOT_H

#include "boot_params.h"

/* A frame buffer; the layout is that of both versions as far as this goes. */
struct framebuffer {
	u64 address;
	u32 pitch, width, height;
	u8 bpp, type;
} PACKED;

#define FRAMEBUFFER_INDEXED	0
#define FRAMEBUFFER_RGB		1
#define FRAMEBUFFER_EGA_TEXT	2

/* What the VESA BIOS said (VBE 3.0, function 4F01h), as far as it is used. */
struct vbe_mode_info {
	u16 attributes;
	u8 unused1[14];
	u16 pitch, width, height;
	u8 unused2[3], bpp, unused3, memory_model, unused4, pages, unused5;
	u8 colours[8];		/* size, position of red, green, blue, reserved */
	u8 unused6;
	u32 address;
} PACKED;

#pragma GCC visibility push(hidden)

/* multiboot.c */
void set_loader(struct handed *handed, const char *name, u64 size);
u32 e820_type(u32 type);
void add_meminfo(struct handed *handed, u32 lower, u32 upper);

/* screen.c. `colours` are position and size of red, green, blue, and count for RGB only. */
void set_framebuffer(struct handed *handed, const struct framebuffer *frame, const u8 *colours,
		     u8 video_type);
void set_vbe(struct handed *handed, const struct vbe_mode_info *mode, u16 segment, u16 offset);

/* rsdp.c. `copy` lies where the kernel may not find it any more. */
void set_rsdp(struct handed *handed, const u8 *copy, u32 size);

#pragma GCC visibility pop

#endif
