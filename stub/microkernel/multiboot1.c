/* Multiboot Specification version 0.6.96, 3.3 Boot information format. */
#include "microkernel.h"

enum {
	MEMORY = 1 << 0,
	CMDLINE = 1 << 2,
	MODULES = 1 << 3,
	AOUT_SYMBOLS = 1 << 4,
	ELF_SECTIONS = 1 << 5,
	MEMORY_MAP = 1 << 6,
	LOADER_NAME = 1 << 9,
	FRAMEBUFFER = 1 << 12,
};

struct info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	u32 syms[4];		/* ELF: number, size of each, address, index of the names */
	u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
	u32 apm_table, vbe_control_info, vbe_mode_info;
	u16 vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
	u64 framebuffer_addr;
	u32 framebuffer_pitch, framebuffer_width, framebuffer_height;
	u8 framebuffer_bpp, framebuffer_type, colours[6];
} __attribute__((packed));

struct mod {
	u32 start, end, string, reserved;
};

struct mmap {
	u32 size;		/* of what follows it */
	u64 base, length;
	u32 type;
} __attribute__((packed));

_Static_assert(offsetof(struct info, framebuffer_addr) == 88, "3.3");

static void decode_modules(const struct info *info)
{
	const struct mod *mods = physical(info->mods_addr, (u64)info->mods_count * sizeof(*mods));

	for (u32 i = 0; mods && i < info->mods_count; i++) {
		if (mods[i].end < mods[i].start)
			fail("module-end");
		add_module(mods[i].start, mods[i].end - mods[i].start, mods[i].string);
#ifdef PAGE_ALIGNED_MODULES
		if (mods[i].start & 0xfff)
			fail("module-alignment");
#endif
	}
}

static void decode_map(const struct info *info)
{
	const u8 *map = physical(info->mmap_addr, info->mmap_length);
	u32 at = 0;

	while (map && at + sizeof(struct mmap) <= info->mmap_length) {
		const struct mmap *record = (const struct mmap *)(map + at);

		add_range(record->base, record->length, record->type);
		if (record->size < 20) {
			fail("map-record-size");
			return;
		}
		at += record->size + 4;
	}
	if (at != info->mmap_length)
		fail("map-length");
}

void decode_multiboot1(const struct entry_state *state)
{
	const struct info *info = physical(state->general[RBX], sizeof(*info));

	if (!info)
		return;
	check_apart("info-over-image", state->general[RBX], sizeof(*info));
	add_fact("flags", info->flags);
	if (info->flags & MEMORY) {
		add_fact("mem_lower", info->mem_lower);
		add_fact("mem_upper", info->mem_upper);
	} else {
		fail("memory-information");	/* which our header asks for */
	}
	if (info->flags & CMDLINE)
		told.cmdline = info->cmdline;
	if (info->flags & MODULES)
		decode_modules(info);
	if ((info->flags & AOUT_SYMBOLS) && (info->flags & ELF_SECTIONS))
		fail("two-kinds-of-symbols");
	if (info->flags & ELF_SECTIONS) {
		add_fact("sections", info->syms[0]);
		physical(info->syms[2], (u64)info->syms[0] * info->syms[1]);
	}
	if (info->flags & MEMORY_MAP)
		decode_map(info);
	if (info->flags & LOADER_NAME)
		told.loader = info->boot_loader_name;
	if (info->flags & FRAMEBUFFER) {
		told.has_framebuffer = true;
		told.framebuffer = (struct framebuffer){
			info->framebuffer_addr, info->framebuffer_width, info->framebuffer_height,
			info->framebuffer_pitch, info->framebuffer_bpp, info->framebuffer_type, { 0 },
		};
		if (info->framebuffer_type == 1)
			memcpy(told.framebuffer.colours, info->colours, sizeof(info->colours));
	}
	told.rsdp = rsdp_search();
}
