/* The screen, as Linux is told of it: screen_info of the zero page. */
#include "multiboot.h"

#define VESA_UNIT		0x10000	/* lfb_size counts in it for a VESA frame buffer */
#define MODE_TEXT		3
#define CELL_LINES		16
#define VBE_LINEAR		0x80	/* of vbe_mode_info.attributes */
#define VBE_PACKED		4	/* of vbe_mode_info.memory_model */
#define VBE_DIRECT		6

static struct screen_info *screen_of(struct handed *handed)
{
	return (struct screen_info *)handed->zero_page;
}

/* What is in a pixel and no colour: the bits above them, or else those below. */
static void set_colours(struct screen_info *screen, const u8 *colours)
{
	u32 low = 0xff, high = 0;

	screen->red_pos = colours[0];
	screen->red_size = colours[1];
	screen->green_pos = colours[2];
	screen->green_size = colours[3];
	screen->blue_pos = colours[4];
	screen->blue_size = colours[5];
	for (u32 i = 0; i < 6; i += 2) {
		const u32 end = colours[i] + colours[i + 1];

		low = colours[i] < low ? colours[i] : low;
		high = end > high ? end : high;
	}
	if (high < screen->lfb_depth) {
		screen->rsvd_pos = high;
		screen->rsvd_size = screen->lfb_depth - high;
	} else {
		screen->rsvd_size = low;
	}
}

static void set_text(struct screen_info *screen, const struct framebuffer *frame)
{
	if (frame->width > 0xff || frame->height > 0xff)
		return;
	screen->orig_video_isVGA = VIDEO_TYPE_TEXT;
	screen->orig_video_mode = MODE_TEXT;
	screen->orig_video_cols = frame->width;
	screen->orig_video_lines = frame->height;
	screen->orig_video_points = CELL_LINES;
}

/* A frame buffer that no field has room for is none to the kernel, and no reason not to start. */
void set_framebuffer(struct handed *handed, const struct framebuffer *frame, const u8 *colours,
		     u8 video_type)
{
	struct screen_info *screen = screen_of(handed);
	const u64 size = (u64)frame->pitch * frame->height;

	if (frame->type == FRAMEBUFFER_EGA_TEXT)
		set_text(screen, frame);
	if (frame->type > FRAMEBUFFER_RGB)
		return;
	if (frame->width > 0xffff || frame->height > 0xffff || frame->pitch > 0xffff)
		return;
	screen->orig_video_isVGA = video_type;
	screen->lfb_width = frame->width;
	screen->lfb_height = frame->height;
	screen->lfb_depth = frame->bpp;
	screen->lfb_base = frame->address;
	screen->lfb_size = video_type == VIDEO_TYPE_VLFB ? (size + VESA_UNIT - 1) / VESA_UNIT : size;
	screen->lfb_linelength = frame->pitch;
	screen->pages = 1;
	screen->ext_lfb_base = frame->address >> 32;
	screen->capabilities = frame->address >> 32 ? VIDEO_CAPABILITY_64BIT_BASE : 0;
	if (frame->type == FRAMEBUFFER_RGB)
		set_colours(screen, colours);
}

/* Before set_framebuffer(), which knows better. The BIOS's code is for 32-bit kernels only. */
void set_vbe(struct handed *handed, const struct vbe_mode_info *mode, u16 segment, u16 offset)
{
	struct screen_info *screen = screen_of(handed);
	const struct framebuffer frame = {
		mode->address, mode->pitch, mode->width, mode->height, mode->bpp,
		mode->memory_model == VBE_DIRECT ? FRAMEBUFFER_RGB : FRAMEBUFFER_INDEXED,
	};
	const u8 *c = mode->colours;
	const u8 colours[6] = { c[1], c[0], c[3], c[2], c[5], c[4] };

	screen->vesa_attributes = mode->attributes;
	screen->vesapm_seg = segment;
	screen->vesapm_off = offset;
	if (mode->attributes & VBE_LINEAR && mode->address &&
	    (mode->memory_model == VBE_PACKED || mode->memory_model == VBE_DIRECT))
		set_framebuffer(handed, &frame, colours, VIDEO_TYPE_VLFB);
}
