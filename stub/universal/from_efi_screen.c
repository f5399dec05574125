/* The firmware's graphics output as Linux's screen_info and edid_info have it. */
#include "boot_params.h"
#include "efi.h"

#define BY_PROTOCOL		2
#define PIXELS_BGR		1
#define PIXELS_MASKS		2	/* from 3 on there are none in memory */
#define SKIP_QUIRKS		1	/* VIDEO_CAPABILITY_SKIP_QUIRKS */
#define EDID_INFO		0x140
#define EDID_SIZE		128

struct graphics_info {
	u32 version, width, height, format;
	u32 masks[4];		/* red, green, blue, reserved */
	u32 pixels_per_line;
};

static const struct guid graphics_guid = {
	0x9042a9de, 0x23dc, 0x4a38, { 0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a }
};
static const struct guid console_guid = {
	0xd3b36f2c, 0xd551, 0x11d4, { 0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d }
};
static const struct guid edid_guid = {
	0xbd8c1056, 0x9f36, 0x44ec, { 0x92, 0xa8, 0xa6, 0x33, 0x7f, 0x81, 0x79, 0x86 }
};

static const struct graphics_info *info_of(u64 mode)
{
	return reach(efi_word(mode, MODE_INFO), sizeof(struct graphics_info), "graphics mode");
}

static void fill(struct screen_info *screen, u64 mode)
{
	const struct graphics_info *info = info_of(mode);
	u64 base = *(u64 *)reach(mode + 8 + 2 * efi.width, 8, "graphics mode");	/* 64 bits in both */
	u8 *field = &screen->red_size;

	for (u32 i = 0; i < 4; i++) {
		u32 byte = info->format == PIXELS_BGR && i != 3 ? 2 - i : i, at = 0, size = 0;
		u32 mask = info->format == PIXELS_MASKS ? info->masks[i] : 0xffu << 8 * byte;

		for (; mask && !(mask & 1); mask >>= 1)
			at++;
		for (; mask & 1; mask >>= 1)
			size++;
		*field++ = size;
		*field++ = at;
		screen->lfb_depth += size;
	}
	screen->orig_video_isVGA = VIDEO_TYPE_EFI;
	screen->lfb_width = info->width;
	screen->lfb_height = info->height;
	screen->lfb_base = base;
	screen->ext_lfb_base = base >> 32;
	screen->lfb_linelength = info->pixels_per_line * screen->lfb_depth / 8;
	screen->lfb_size = screen->lfb_linelength * screen->lfb_height;
	screen->pages = 1;
	screen->capabilities = SKIP_QUIRKS | (base >> 32 ? VIDEO_CAPABILITY_64BIT_BASE : 0);
}

/* One that the console writes to, or else the first one that has its pixels in memory. */
void find_screen(struct handed *handed)
{
	u64 count = 0, handles = 0, mode = 0, handle = 0, edid;

	if (efi_boot(LOCATE_HANDLE_BUFFER, BY_PROTOCOL, (u64)&graphics_guid, 0, (u64)&count, (u64)&handles))
		return;
	for (u64 i = 0; i < count; i++) {
		u64 one = efi_word(handles, 0, i), graphics = efi_protocol(one, &graphics_guid), its, unused;
		bool console;

		if (!graphics)
			continue;
		its = efi_word(graphics, GRAPHICS_MODE);
		if (info_of(its)->format > PIXELS_MASKS)
			continue;
		/* EDK2's has no interface. */
		console = !efi_boot(HANDLE_PROTOCOL, one, (u64)&console_guid, (u64)&unused, 0, 0);
		if (mode && !console)
			continue;
		mode = its;
		handle = one;
		if (console)
			break;
	}
	efi_boot(FREE_POOL, handles, 0, 0, 0, 0);
	if (!mode)
		return;
	fill((struct screen_info *)handed->zero_page, mode);
	edid = efi_protocol(handle, &edid_guid);
	if (edid && efi_word(edid, EDID_DATA) && *(u32 *)reach(edid, 4, "EDID") >= EDID_SIZE)
		memcpy(handed->zero_page + EDID_INFO, reach(efi_word(edid, EDID_DATA), EDID_SIZE, "EDID"),
		       EDID_SIZE);
}
