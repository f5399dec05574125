/* The zero page: Documentation/arch/x86/boot.rst and zero-page.rst. */
#include "microkernel.h"

#define ZERO_PAGE 4096
#define HDRS 0x53726448
#define E820_MAX 128
#define E820_EXT 1		/* SETUP_E820_EXT */
#define MOST_NODES 64
#define VLFB 0x23		/* VIDEO_TYPE_VLFB */
#define EFI 0x70		/* VIDEO_TYPE_EFI */
#define LOADED_HIGH 0x01
#define CAN_USE_HEAP 0x80

struct setup_data {
	u64 next;
	u32 type, size;
	u8 data[];
};

static u8 get8(const u8 *page, u32 offset)
{
	return page[offset];
}

static u32 get16(const u8 *page, u32 offset)
{
	return page[offset] | page[offset + 1] << 8;
}

static u32 get32(const u8 *page, u32 offset)
{
	return get16(page, offset) | get16(page, offset + 2) << 16;
}

static u64 get64(const u8 *page, u32 offset)
{
	return get32(page, offset) | (u64)get32(page, offset + 4) << 32;
}

static void decode_e820(const u8 *records, u32 number)
{
	for (u32 i = 0; i < number; i++, records += 20)
		add_range(get64(records, 0), get64(records, 8), get32(records, 16));
}

static void decode_setup_data(u64 address)
{
	for (u32 i = 0; address; i++) {
		const struct setup_data *node = physical(address, sizeof(*node));

		if (!node || i == MOST_NODES) {
			fail("setup-data");
			return;
		}
		add_node(node->type, node->size, address + sizeof(*node));
		if (node->type == E820_EXT) {
			if (node->size % 20)
				fail("e820-ext");
			decode_e820(node->data, node->size / 20);
		}
		address = node->next;
	}
}

static void decode_screen(const u8 *page)
{
	u8 type = get8(page, 0x0f);

	add_fact("video_type", type);
	if (type != VLFB && type != EFI)
		return;
	told.has_framebuffer = true;
	told.framebuffer = (struct framebuffer){
		get32(page, 0x18) | (get32(page, 0x36) & 2 ? (u64)get32(page, 0x3a) << 32 : 0),
		get16(page, 0x12), get16(page, 0x14), get16(page, 0x24), get16(page, 0x16), type,
		{ 0 },
	};
	/* Size first in the page, position first here. */
	for (u32 i = 0; i < 8; i += 2) {
		told.framebuffer.colours[i] = get8(page, 0x27 + i);
		told.framebuffer.colours[i + 1] = get8(page, 0x26 + i);
	}
}

static void decode_header(const u8 *page)
{
	const u64 ramdisk = get32(page, 0x218) | (u64)get32(page, 0xc0) << 32;
	const u64 size = get32(page, 0x21c) | (u64)get32(page, 0xc4) << 32;

	told.cmdline = get32(page, 0x228) | (u64)get32(page, 0xc8) << 32;
	if (size)
		add_module(ramdisk, size, 0);
	add_fact("version", get16(page, 0x206));
	add_fact("type_of_loader", get8(page, 0x210));
	add_fact("loadflags", get8(page, 0x211));
	add_fact("code32_start", get32(page, 0x214));
	add_fact("heap_end_ptr", get16(page, 0x224));
	add_fact("vid_mode", get16(page, 0x1fa));
	add_fact("kernel_alignment", get32(page, 0x230));
	add_fact("init_size", get32(page, 0x260));
	add_fact("hardware_subarch", get32(page, 0x23c));
	add_fact("hardware_subarch_data", get64(page, 0x240));
	add_fact("ext_mem_k", get16(page, 0x02));
	add_fact("alt_mem_k", get32(page, 0x1e0));
	add_fact("e820_entries", get8(page, 0x1e8));
	add_fact("ramdisk_image", ramdisk);
}

/* What boot.rst lays on a loader. An image without a setup header may be given less of one. */
static void check_header(const struct entry_state *state, const u8 *page)
{
	if (get8(page, 0x1ef))
		fail("sentinel");
	if (!get8(page, 0x210))
		fail("type_of_loader");
	if (get8(page, 0x1e8) > E820_MAX)
		fail("e820_entries");
#ifdef BZIMAGE
	if (get32(page, 0x202) != HDRS || get16(page, 0x206) != 0x20f)
		fail("header");
	if (!(get8(page, 0x211) & LOADED_HIGH))
		fail("loadflags");
	if (get32(page, 0x268) != 0x180)	/* the header's last field */
		fail("header-end");
	for (u32 i = 0x26c; i < 0x290; i++)	/* code, if it was copied */
		if (page[i])
			fail("header-too-long");
	if (state->abi != LINUX64 && get32(page, 0x214) != (u32)(uintptr_t)image_start)
		fail("code32_start");
#else
	(void)state;
#endif
}

/* boot.rst: the kernel from its start for init_size, the zero page and the command line. */
static void check_identity(const struct entry_state *state, const u8 *page)
{
	u64 size = (uintptr_t)image_end - (uintptr_t)image_start;

#ifdef BZIMAGE
	size = get32(page, 0x260);
#endif
	check_mapped(state, "kernel-mapped", (uintptr_t)image_start, size);
	check_mapped(state, "zero-page-mapped", (uintptr_t)page, ZERO_PAGE);
	if (told.cmdline)
		check_mapped(state, "command-line-mapped", told.cmdline,
			     text_length(told.cmdline, ZERO_PAGE) + 1);
}

void decode_linux(const struct entry_state *state)
{
	const u8 *page = physical(state->abi == LINUX16 ? state->page : state->general[RSI], ZERO_PAGE);

	if (!page) {
		fail("zero-page");
		return;
	}
	if (state->abi != LINUX16)	/* whose zero page is its setup code's */
		check_apart("zero-page-over-image", state->general[RSI], ZERO_PAGE);
	decode_header(page);
	check_header(state, page);
	decode_screen(page);
	decode_e820(page + 0x2d0, get8(page, 0x1e8));
	decode_setup_data(get64(page, 0x250));
	told.rsdp = get64(page, 0x70);
	told.rsdp_size = RSDP_SIZE;
	if (!told.rsdp)
		told.rsdp = rsdp_search();
	if (state->abi == LINUX64)
		check_identity(state, page);
	if (state->abi == LINUX16 && get8(page, 0x211) & CAN_USE_HEAP &&
	    get16(page, 0x224) + 0x200 < 0x2000)
		fail("heap_end_ptr");
}
