/* PVH: xen/include/public/arch-x86/hvm/start_info.h. */
#include "microkernel.h"

#define MAGIC 0x336ec578

struct start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
	/* from version 1 on */
	u64 memmap_paddr;
	u32 memmap_entries, reserved;
};

struct modlist_entry {
	u64 paddr, size, cmdline_paddr, reserved;
};

struct memmap_table_entry {
	u64 addr, size;
	u32 type, reserved;
};

_Static_assert(sizeof(struct start_info) == 56, "start_info.h");

void decode_pvh(const struct entry_state *state)
{
	const struct start_info *info = physical(state->general[RBX], sizeof(*info));
	const struct modlist_entry *modules;
	const struct memmap_table_entry *map;

	if (!info || info->magic != MAGIC) {
		fail("magic");
		return;
	}
	check_apart("info-over-image", state->general[RBX], sizeof(*info));
	add_fact("version", info->version);
	add_fact("flags", info->flags);
	told.cmdline = info->cmdline_paddr;
	told.rsdp = info->rsdp_paddr;
	told.rsdp_size = RSDP_SIZE;
	modules = physical(info->modlist_paddr, (u64)info->nr_modules * sizeof(*modules));
	for (u32 i = 0; modules && i < info->nr_modules; i++) {
		add_module(modules[i].paddr, modules[i].size, modules[i].cmdline_paddr);
		if (modules[i].reserved)
			fail("module-reserved");
	}
	if (info->version < 1)
		return;
	if (info->reserved)
		fail("info-reserved");
	map = physical(info->memmap_paddr, (u64)info->memmap_entries * sizeof(*map));
	for (u32 i = 0; map && i < info->memmap_entries; i++) {
		add_range(map[i].addr, map[i].size, map[i].type);
		if (map[i].reserved)
			fail("map-reserved");
	}
}
