/* Multiboot Specification version 0.6.96, 3.3 Boot information format. */
#include "multiboot.h"

#define MEMORY			(1u << 0)
#define CMDLINE			(1u << 2)
#define MODS			(1u << 3)
#define MEM_MAP			(1u << 6)
#define BOOT_LOADER_NAME	(1u << 9)
#define APM_TABLE		(1u << 10)
#define VBE_INFO		(1u << 11)
#define FRAMEBUFFER_INFO	(1u << 12)

#define APM_SIZE		20
#define MAX_LINE		0x10000
#define MAX_MAP_BYTES		0x10000
#define LEAST_RECORD		20	/* `size` does not count itself */

struct info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
	u32 apm_table, vbe_control_info, vbe_mode_info;
	u16 vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
	struct framebuffer framebuffer;
	u8 colours[6];
} PACKED;

struct module {
	u32 start, end, string, reserved;
} PACKED;

struct record {
	u32 size;
	u64 addr, len;
	u32 type;
} PACKED;

static void read_strings(struct handed *handed, const struct info *info)
{
	const char *name = 0;
	u64 size = 0;

	if (info->flags & CMDLINE && info->cmdline) {
		handed->command_line = info->cmdline;
		handed->command_line_size = reach_string(info->cmdline, MAX_LINE, "cmdline");
	}
	if (info->flags & BOOT_LOADER_NAME && info->boot_loader_name) {
		name = (const char *)(u64)info->boot_loader_name;
		size = reach_string(info->boot_loader_name, MAX_LINE, "boot_loader_name");
	}
	set_loader(handed, name, size);
}

static void read_modules(struct handed *handed, const struct info *info)
{
	const struct module *list;

	if (!(info->flags & MODS) || !info->mods_count)
		return;
	if (info->mods_count > MAX_MODULES)
		stop("mods_count", info->mods_count, "at most 0x40");
	list = reach(info->mods_addr, info->mods_count * sizeof(*list), "mods_addr");
	for (u32 i = 0; i < info->mods_count; i++) {
		if (list[i].end < list[i].start)
			stop("mod_end", list[i].end, "an end that is not below the start");
		if (list[i].end > list[i].start)
			add_module(handed, list[i].start, list[i].end - list[i].start);
	}
}

static void read_map(struct handed *handed, const struct info *info)
{
	const u8 *map;

	if (info->mmap_length > MAX_MAP_BYTES)
		stop("mmap_length", info->mmap_length, "at most 0x10000");
	map = reach(info->mmap_addr, info->mmap_length, "mmap_addr");
	for (u64 at = 0; at < info->mmap_length;) {
		const struct record *record = (const struct record *)(map + at);

		if (info->mmap_length - at < sizeof(*record))
			stop("mmap_length", info->mmap_length, "whole records");
		if (record->size < LEAST_RECORD)
			stop("memory map record size", record->size, "0x14 or more");
		add_map(handed, record->addr, record->len, e820_type(record->type));
		at += (u64)record->size + sizeof(record->size);
	}
}

static void read_screen(struct handed *handed, const struct info *info)
{
	if (info->flags & VBE_INFO && info->vbe_mode_info)
		set_vbe(handed,
			reach(info->vbe_mode_info, sizeof(struct vbe_mode_info), "vbe_mode_info"),
			info->vbe_interface_seg, info->vbe_interface_off);
	if (info->flags & FRAMEBUFFER_INFO)
		set_framebuffer(handed, &info->framebuffer, info->colours, VIDEO_TYPE_VLFB);
}

void from_multiboot1(struct handed *handed, u64 address)
{
	const struct info *info;

	handed->way = "multiboot1";
	info = reach(address, sizeof(*info), "information");
	read_strings(handed, info);
	if (info->flags & MEM_MAP && info->mmap_length)
		read_map(handed, info);
	else if (info->flags & MEMORY)
		add_meminfo(handed, info->mem_lower, info->mem_upper);
	if (!handed->map_count)
		stop("flags", info->flags, "a memory map or memory sizes");
	read_modules(handed, info);
	read_screen(handed, info);
	if (info->flags & APM_TABLE && info->apm_table)
		memcpy(handed->zero_page + APM_BIOS_INFO,
		       reach(info->apm_table, APM_SIZE, "apm_table"), APM_SIZE);
}
