/*
 * From the zero page of Linux's boot protocol: boot.rst, zero-page.rst. It is copied whole, and what
 * it points to is what the other ways tell too.
 */
#include "core.h"
#include "boot_params.h"
#include "magics.h"

#define MOST_TEXT	0x10000

/* What a loader that copied too much of the image cannot have meant: bootparam_utils.h. */
static void sanitize(u8 *page)
{
	static const u16 kept[][2] = {
		{ 0x000, 0x054 }, { 0x058, 0x070 }, { 0x080, 0x0c0 }, { 0x13c, 0x140 },
		{ 0x1c0, 0x1eb }, { 0x1ec, 0x1ed }, { 0x1f1, 0xcd0 }, { 0xd00, 0xeec },
		{ 0x1000, 0x1000 },
	};
	u32 at = 0;

	for (u32 i = 0; at < 0x1000; at = kept[i++][1])
		memset(page + at, 0, kept[i][0] - at);
}

static u64 wide(const u8 *page, u32 low, u32 high)
{
	return *(u32 *)(page + low) | (u64)*(u32 *)(page + high) << 32;
}

void from_linux_page(struct handed *handed, u64 zero_page)
{
	u8 *page = handed->zero_page;
	u64 initrd, size;

	memcpy(page, reach(zero_page, 0x1000, "zero page"), 0x1000);
	if (*(u32 *)(page + HEADER_MAGIC) != HDRS)
		stop("header", *(u32 *)(page + HEADER_MAGIC), "\"HdrS\" is");
	if (page[SENTINEL])
		sanitize(page);
	page[SENTINEL] = 0;
	handed->command_line = wide(page, CMD_LINE_PTR, EXT_CMD_LINE_PTR);
	if (handed->command_line)
		handed->command_line_size =
			reach_string(handed->command_line, MOST_TEXT, "cmd_line_ptr");
	initrd = wide(page, RAMDISK_IMAGE, EXT_RAMDISK_IMAGE);
	size = wide(page, RAMDISK_SIZE, EXT_RAMDISK_SIZE);
	if (initrd && size)
		add_module(handed, initrd, size);
}

static void add_entries(struct handed *handed, const struct e820_entry *entry, u32 count)
{
	for (; count; count--, entry++)
		add_map(handed, entry->start, entry->size, told_type(entry->type));
}

/* As default_machine_specific_memory_setup() of e820.c: a table of one entry is none. */
static void add_memory_map(struct handed *handed)
{
	const u8 *page = handed->zero_page;
	u32 count = page[E820_ENTRIES], kib;

	if (count > 128)
		stop("e820_entries", count, "no more than 0x80 are");
	if (count >= 2) {
		add_entries(handed, (struct e820_entry *)(page + E820_TABLE), count);
		return;
	}
	kib = *(u32 *)(page + ALT_MEM_K);
	if (kib < *(u16 *)(page + EXT_MEM_K))
		kib = *(u16 *)(page + EXT_MEM_K);
	add_map(handed, 0, 0x9f000, 1);
	add_map(handed, 0x100000, (u64)kib << 10, 1);
}

static struct setup_data *node_at(u64 address)
{
	struct setup_data *node = reach(address, sizeof(*node), "setup_data");

	reach(address, sizeof(*node) + node->len, "setup_data");
	return node;
}

/* What the nodes say of memory is part of the map; they stay where they are. */
void read_setup_data(struct handed *handed)
{
	u64 address = *(u64 *)(handed->zero_page + SETUP_DATA);

	for (u32 count = 1; address; count++) {
		const struct setup_data *node = node_at(address);

		if (count > MAX_KEPT)
			stop("setup_data", count, "no more than 0x40 nodes are");
		if (node->type == SETUP_E820_EXT)
			add_entries(handed, (struct e820_entry *)(node + 1),
				    node->len / sizeof(struct e820_entry));
		address = node->next;
	}
}

/* What the kernel will read and we need not: it is not mapped, however large it is. */
static void keep_told(struct handed *handed, u64 start, u64 size, const char *what)
{
	if (!in_ram(start, size))
		stop(what, start, "a range in the memory map's RAM is");
	check_not_ours(start, size, what);
	keep(handed, start, size);
}

/*
 * The map's continuation leaves the list, since it is not the kernel's any more. It is kept all the same:
 * nodes that lie in each other change as links are written, and keep() is what ends a list without end.
 */
void keep_setup_data(struct handed *handed)
{
	u64 *link = (u64 *)(handed->zero_page + SETUP_DATA);

	while (*link) {
		struct setup_data *node = node_at(*link);
		struct setup_indirect *more = (struct setup_indirect *)(node + 1);

		if (!in_ram(*link, sizeof(*node) + node->len))
			stop("setup_data", *link, "a range in the memory map's RAM is");
		keep(handed, *link, sizeof(*node) + node->len);
		if (node->type == SETUP_E820_EXT) {
			*link = node->next;
			continue;
		}
		if (node->type == SETUP_INDIRECT && node->len >= sizeof(*more))
			keep_told(handed, more->addr, more->len, "setup_indirect");
		link = reach(*link, sizeof(*link), "setup_data");	/* its first field */
	}
}

void from_linux(struct handed *handed, u64 zero_page)
{
	const u8 *page = handed->zero_page;
	u32 signature;

	from_linux_page(handed, zero_page);
	add_memory_map(handed);
	read_setup_data(handed);
	keep_setup_data(handed);
	signature = *(u32 *)(page + EFI_INFO);
	if (signature == EL64 || signature == EL32) {
		check_descriptors(*(u32 *)(page + EFI_MEMDESC_SIZE));
		keep_told(handed, wide(page, EFI_MEMMAP, EFI_MEMMAP_HIGH),
			  *(u32 *)(page + EFI_MEMMAP_SIZE), "efi_memmap");
	}
}
