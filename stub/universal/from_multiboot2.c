/* Multiboot2 Specification version 2.0, 3.6 Boot information format. */
#include "magics.h"
#include "multiboot.h"

enum {
	END, CMDLINE, LOADER_NAME, MODULE, MEMINFO, BOOTDEV, MEMORY_MAP, VBE, FRAMEBUFFER,
	ELF_SECTIONS, APM, EFI32, EFI64, SMBIOS, RSDP_OLD, RSDP_NEW, NETWORK, EFI_MAP, EFI_SERVICES,
	EFI32_HANDLE, EFI64_HANDLE, LOAD_BASE, TYPES,
};

#define MAX_SIZE		0x1000000
#define MAX_TAGS		0x1000
#define SERVICES_SIZE		24	/* the head of an EFI table */
#define RSDP_OLD_SIZE		20

struct tag {
	u32 type, size;
	u8 body[];
} PACKED;

/* Bytes that it has at least, beside the head; VBE has more. */
static const u8 least[TYPES] = {
	[CMDLINE] = 1,
	[LOADER_NAME] = 1,
	[MODULE] = 8,
	[MEMINFO] = 8,
	[MEMORY_MAP] = 8,
	[VBE] = 8,
	[FRAMEBUFFER] = 22,
	[APM] = 20,
	[EFI32] = 4,
	[EFI64] = 8,
	[RSDP_OLD] = 20,
	[RSDP_NEW] = 36,
	[EFI_MAP] = 8,
	[EFI32_HANDLE] = 4,
	[EFI64_HANDLE] = 8,
};

/* What a message calls a tag that may be too small: one of each type, in their order. */
static const char *name_of(u32 type)
{
	const char *name = "\0"
		"command line tag\0"
		"loader name tag\0"
		"module tag\0"
		"memory size tag\0"
		"\0"
		"memory map tag\0"
		"VBE tag\0"
		"framebuffer tag\0"
		"\0"
		"APM tag\0"
		"EFI32 table tag\0"
		"EFI64 table tag\0"
		"\0"
		"RSDP tag\0"
		"RSDP tag\0"
		"\0"
		"EFI map tag\0"
		"\0"
		"EFI32 handle tag\0"
		"EFI64 handle tag";

	while (type)
		type -= !*name++;
	return name;
}

struct vbe {
	u16 mode, interface_seg, interface_off, interface_len;
	u8 control_info[512];
	struct vbe_mode_info mode_info;
} PACKED;

struct record {
	u64 addr, len;
	u32 type, zero;
} PACKED;

static u32 word(const struct tag *tag, u32 number)
{
	u32 value;

	__builtin_memcpy(&value, tag->body + 4 * number, sizeof(value));
	return value;
}

/* What the tag of either width says, 0 without one. */
static u64 either(const struct tag *narrow, const struct tag *wide)
{
	if (wide)
		return word(wide, 0) | (u64)word(wide, 1) << 32;
	return narrow ? word(narrow, 0) : 0;
}

static u64 string(const struct tag *tag)
{
	const u32 most = tag->size - sizeof(*tag);
	u32 size = 0;

	while (size < most && tag->body[size])
		size++;
	if (size == most)
		stop(name_of(tag->type), tag->size, "a string with its NUL");
	return size;
}

static void read_module(struct handed *handed, const struct tag *tag)
{
	const u32 start = word(tag, 0), end = word(tag, 1);

	if (end < start)
		stop("mod_end", end, "an end that is not below the start");
	if (end > start)
		add_module(handed, start, end - start);
}

/* Finds the last tag of each type; modules are read at once. Unknown types are passed over. */
static void read_tags(struct handed *handed, u64 address, const struct tag **found)
{
	const u32 *info = reach(address, 8, "information");
	const u32 total = info[0];

	if (total < 16 || total > MAX_SIZE)
		stop("total_size", total, "0x10 to 0x1000000");
	reach(address, total, "information");
	for (u32 at = 8, count = 0;; count++) {
		const struct tag *tag = (const struct tag *)(address + at);

		/* kexec-tools counts no module's padding: with one module the end tag is cut. */
		if (at < total && total - at < sizeof(*tag) && *(const u8 *)tag == END)
			return;
		if (at > total || total - at < sizeof(*tag))
			stop("total_size", total, "an end tag within it");
		if (tag->size < sizeof(*tag) || tag->size > total - at)
			stop("tag size", tag->size, "8 or more within total_size");
		if (tag->type == END)
			return;
		if (count == MAX_TAGS)
			stop("tags", count, "an end tag behind at most 0x1000");
		if (tag->type < TYPES) {
			if (tag->size - sizeof(*tag) < least[tag->type])
				stop(name_of(tag->type), tag->size, "a larger size");
			found[tag->type] = tag;
		}
		if (tag->type == MODULE)
			read_module(handed, tag);
		at += (tag->size + 7) & ~7u;
	}
}

static void read_strings(struct handed *handed, const struct tag **found)
{
	const struct tag *line = found[CMDLINE], *name = found[LOADER_NAME];

	if (line) {
		handed->command_line_size = string(line);
		handed->command_line = (u64)line->body;
	}
	set_loader(handed, name ? (const char *)name->body : 0, name ? string(name) : 0);
}

static void read_map(struct handed *handed, const struct tag **found)
{
	const struct tag *tag = found[MEMORY_MAP];

	if (tag) {
		const u32 entry_size = word(tag, 0);
		const u32 size = tag->size - sizeof(*tag) - 8;

		if (entry_size < sizeof(struct record))
			stop("memory map entry_size", entry_size, "0x18 or more");
		for (u32 i = 0; i < size / entry_size; i++) {
			const struct record *record =
				(const struct record *)(tag->body + 8 + i * entry_size);

			add_map(handed, record->addr, record->len, e820_type(record->type));
		}
	}
	if (!handed->map_count && found[MEMINFO])
		add_meminfo(handed, word(found[MEMINFO], 0), word(found[MEMINFO], 1));
	if (!handed->map_count)
		stop_text("memory map tag", "none, or no record in it, one");
}

static void read_screen(struct handed *handed, const struct tag **found, int efi)
{
	const struct tag *vbe_tag = found[VBE], *tag = found[FRAMEBUFFER];

	if (vbe_tag && vbe_tag->size >= sizeof(*vbe_tag) + sizeof(struct vbe)) {
		const struct vbe *vbe = (const struct vbe *)vbe_tag->body;

		set_vbe(handed, &vbe->mode_info, vbe->interface_seg, vbe->interface_off);
	}
	if (tag) {
		const struct framebuffer *frame = (const struct framebuffer *)tag->body;
		const u8 *colours = tag->body + sizeof(*frame) + 2;	/* a reserved half word */

		if (frame->type == FRAMEBUFFER_RGB && tag->size < 38)
			stop("framebuffer tag", tag->size, "the six bytes of its colours");
		set_framebuffer(handed, frame, colours, efi ? VIDEO_TYPE_EFI : VIDEO_TYPE_VLFB);
	}
}

/* Boot services are gone; the table and the map, whose addresses do not change, are what is left. */
static void read_efi(struct handed *handed, const struct tag **found)
{
	const struct tag *map = found[EFI_MAP];
	const u64 table = either(found[EFI32], found[EFI64]);
	struct efi_info *efi = (struct efi_info *)(handed->zero_page + EFI_INFO);
	u64 signature;

	if (!table || !map)
		return;
	__builtin_memcpy(&signature, reach(table, SERVICES_SIZE, "EFI system table"), 8);
	if (signature != EFI_SYSTEM_TABLE)
		stop("EFI system table", signature, "0x5453595320494249 (IBI SYST)");
	efi->signature = found[EFI64] ? EL64 : EL32;
	efi->systab = table;
	efi->systab_hi = table >> 32;
	efi->memdesc_size = word(map, 0);
	efi->memdesc_version = word(map, 1);
	efi->memmap = (u64)map->body + 8;
	efi->memmap_hi = ((u64)map->body + 8) >> 32;
	efi->memmap_size = map->size - sizeof(*map) - 8;
	check_descriptors(efi->memdesc_size);
	keep(handed, (u64)map->body + 8, efi->memmap_size);
}

static void read_rsdp(struct handed *handed, const struct tag **found)
{
	if (found[RSDP_NEW])
		set_rsdp(handed, found[RSDP_NEW]->body, found[RSDP_NEW]->size - sizeof(struct tag));
	else if (found[RSDP_OLD])	/* whatever its tag has behind it */
		set_rsdp(handed, found[RSDP_OLD]->body, RSDP_OLD_SIZE);
}

void from_multiboot2(struct handed *handed, u64 info)
{
	const struct tag *found[TYPES];

	for (u32 i = 0; i < TYPES; i++)
		found[i] = 0;
	handed->way = "multiboot2";
	read_tags(handed, info, found);
	read_strings(handed, found);
	if (found[EFI_SERVICES]) {
		const u64 handle = either(found[EFI32_HANDLE], found[EFI64_HANDLE]);
		const u64 table = either(found[EFI32], found[EFI64]);

		if (!handle || !table)
			stop_text("EFI handle and table tags", "one is missing, both are");
		leave_efi(handed, handle, table);	/* knows the map, the screen and the RSDP */
		return;
	}
	read_map(handed, found);
	read_screen(handed, found, found[EFI32] || found[EFI64]);
	read_efi(handed, found);
	read_rsdp(handed, found);
	if (found[APM])
		memcpy(handed->zero_page + APM_BIOS_INFO, found[APM]->body, 20);
}
