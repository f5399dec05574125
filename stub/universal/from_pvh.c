/*
 * PVH, the x86/HVM direct boot ABI: Xen, docs/misc/pvh.pandoc and
 * xen/include/public/arch-x86/hvm/start_info.h. An address of 0 means that a thing is absent.
 */
#include "boot_params.h"
#include "xen.h"

#define MAGIC			0x336ec578
#define V0_SIZE			40
#define MAX_LINE		0x10000
#define LOADER_XEN		0x90	/* what Linux's own PVH entry writes */
#define LOADER_OTHER		0xb0

struct start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
	/* version 1 */
	u64 memmap_paddr;
	u32 memmap_entries, reserved;
} PACKED;

struct modlist_entry {
	u64 paddr, size, cmdline_paddr, reserved;
} PACKED;

struct memmap_entry {
	u64 addr, size;
	u32 type, reserved;
} PACKED;

static void read_modules(struct handed *handed, const struct start_info *info)
{
	const struct modlist_entry *list;

	if (!info->nr_modules)
		return;		/* whatever the address says */
	if (info->nr_modules > MAX_MODULES)
		stop("nr_modules", info->nr_modules, "at most 0x40");
	if (!info->modlist_paddr)
		stop("modlist_paddr", 0, "the address of a list");
	list = reach(info->modlist_paddr, info->nr_modules * sizeof(*list), "modlist_paddr");
	for (u32 i = 0; i < info->nr_modules; i++)
		if (list[i].size)
			add_module(handed, list[i].paddr, list[i].size);
}

static void read_map(struct handed *handed, const struct start_info *info)
{
	const struct memmap_entry *map;

	if (info->memmap_entries > MAX_MAP)
		stop("memmap_entries", info->memmap_entries, "at most 0x400");
	if (!info->memmap_paddr)
		stop("memmap_paddr", 0, "the address of a memory map");
	map = reach(info->memmap_paddr, info->memmap_entries * sizeof(*map), "memmap_paddr");
	for (u32 i = 0; i < info->memmap_entries; i++)
		add_map(handed, map[i].addr, map[i].size, told_type(map[i].type));
}

/* Version 0 has no map, and Xen's own first domain is started by version 0: Xen knows it. */
static void ask_xen(struct handed *handed, bool xen)
{
	u32 count;

	if (!xen)
		stop_text("memory map", "none, and no Xen to ask for it, one is");
	count = xen_memory_map(handed->map, MAX_MAP);
	if (!count)
		stop_text("memory map", "none from Xen, 1 to 1024 records");
	for (u32 i = 0; i < count; i++) {
		const struct e820_entry entry = handed->map[i];

		add_map(handed, entry.start, entry.size, entry.type);
	}
}

void from_pvh(struct handed *handed, u64 start_info)
{
	const struct start_info *info;
	const bool xen = on_xen();

	handed->way = "pvh";
	info = reach(start_info, V0_SIZE, "start_info");
	if (info->magic != MAGIC)
		stop("start_info magic", info->magic, "0x336ec578");
	handed->zero_page[TYPE_OF_LOADER] = xen ? LOADER_XEN : LOADER_OTHER;
	if (info->cmdline_paddr) {
		handed->command_line = info->cmdline_paddr;
		handed->command_line_size =
			reach_string(info->cmdline_paddr, MAX_LINE, "cmdline_paddr");
	}
	put64(handed, ACPI_RSDP_ADDR, info->rsdp_paddr);
	if (info->version)	/* later versions only add to the end */
		reach(start_info, sizeof(*info), "start_info");
	if (info->version && info->memmap_entries)
		read_map(handed, info);
	else
		ask_xen(handed, xen);
	read_modules(handed, info);
}
