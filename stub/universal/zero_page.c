/* The zero page as the wrapped kernel gets it: what was told is in it, the rest is put there now. */
#include "core.h"
#include "boot_params.h"

#define TABLE_ENTRIES	128
#define UNDEFINED_LOADER 0xff

/* What a loader writes into the header: it stays, all else is the wrapped kernel's. */
static void merge_header(u8 *page)
{
	static const u16 written[][2] = {	/* offset, size */
		{ 0x1f2, 2 },	/* root_flags */
		{ 0x1fa, 2 },	/* vid_mode */
		{ 0x1fc, 2 },	/* root_dev: up to here only Linux's loaders know of them */
		{ 0x210, 1 },	/* type_of_loader */
		{ 0x226, 2 },	/* ext_loader_ver, ext_loader_type */
		{ 0x23c, 12 },	/* hardware_subarch, hardware_subarch_data */
		{ 0x250, 8 },	/* setup_data */
	};
	u8 told[HEADER_END];
	bool by_linux = *(u32 *)(page + HEADER_MAGIC) != 0;

	memcpy(told + HEADER, page + HEADER, HEADER_SIZE);
	memset(page + HEADER, 0, HEADER_SIZE);
	memcpy(page + HEADER, wrapped(HEADER), HEADER_MAGIC + *wrapped(HEADER_JUMP) - HEADER);
	for (u32 i = by_linux ? 0 : 3; i < sizeof(written) / sizeof(*written); i++)
		memcpy(page + written[i][0], told + written[i][0], written[i][1]);
	page[LOADFLAGS] |= told[LOADFLAGS] & LOADFLAG_QUIET;
	if (!page[TYPE_OF_LOADER])
		page[TYPE_OF_LOADER] = UNDEFINED_LOADER;
}

/* MAP_RAM_KEPT was for place.c alone. */
static void join_kept(void)
{
	struct e820_entry *last = 0;
	bool was_kept = false;
	u32 count = 0;

	for (u32 i = 0; i < handed.map_count; i++) {
		struct e820_entry entry = handed.map[i];
		bool kept = entry.type == MAP_RAM_KEPT;

		if (kept)
			entry.type = E820_RAM;
		if ((kept || was_kept) && last && entry.type == E820_RAM && last->type == E820_RAM &&
		    last->start + last->size == entry.start) {
			last->size += entry.size;
		} else {
			last = &handed.map[count++];
			*last = entry;
		}
		was_kept = kept;
	}
	handed.map_count = count;
}

/* Linux takes a table of one entry for none (append_e820_table()): it gets the same in two. */
static void split_only_entry(void)
{
	struct e820_entry *only = handed.map;

	if (handed.map_count != 1)
		return;
	only[1] = only[0];
	only[0].size /= 2;
	only[1].start += only[0].size;
	only[1].size -= only[0].size;
	handed.map_count = 2;
}

/* What does not fit is a node of setup_data, made of the table's own end. */
static void put_map(u8 *page)
{
	u32 count = handed.map_count, here = count < TABLE_ENTRIES ? count : TABLE_ENTRIES;
	struct setup_data *node = (struct setup_data *)&handed.map[TABLE_ENTRIES] - 1;

	page[E820_ENTRIES] = here;
	memcpy(page + E820_TABLE, handed.map, here * sizeof(*handed.map));
	if (count == here)
		return;
	node->next = *(u64 *)(page + SETUP_DATA);
	node->type = SETUP_E820_EXT;
	node->len = (count - here) * sizeof(*handed.map);
	*(u64 *)(page + SETUP_DATA) = (u64)node;
}

static void put_wide(u8 *page, u32 low, u32 high, u64 value)
{
	*(u32 *)(page + low) = value;
	*(u32 *)(page + high) = value >> 32;
}

void complete_zero_page(const struct placed *placed)
{
	u8 *page = handed.zero_page;

	merge_header(page);
	join_kept();
	split_only_entry();
	put_map(page);
	*(u32 *)(page + CODE32_START) = placed->kernel;
	put_wide(page, CMD_LINE_PTR, EXT_CMD_LINE_PTR, joined_command_line());
	put_wide(page, RAMDISK_IMAGE, EXT_RAMDISK_IMAGE, placed->initrd);
	put_wide(page, RAMDISK_SIZE, EXT_RAMDISK_SIZE, placed->initrd_size);
}
