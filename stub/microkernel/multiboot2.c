/* Multiboot2 Specification version 2.0, 3.6 Boot information format. */
#include "microkernel.h"

enum {
	END = 0,
	CMDLINE = 1,
	LOADER_NAME = 2,
	MODULE = 3,
	MEMORY = 4,
	MEMORY_MAP = 6,
	FRAMEBUFFER = 8,
	ELF_SECTIONS = 9,
	RSDP_OLD = 14,
	RSDP_NEW = 15,
	LOAD_BASE = 21,
};

struct info {
	u32 total_size, reserved;
};

struct tag {
	u32 type, size;
	u32 words[];
};

static bool seen[32];

static void decode_map(const struct tag *tag)
{
	const u32 entry_size = tag->words[0];

	if (entry_size < 24 || entry_size & 7 || tag->words[1]) {
		fail("map-entry-size");
		return;
	}
	for (u32 at = 16; at + entry_size <= tag->size; at += entry_size) {
		const u64 *record = (const u64 *)((const u8 *)tag + at);

		add_range(record[0], record[1], record[2]);
	}
	if ((tag->size - 16) % entry_size)
		fail("map-length");
}

static void decode_framebuffer(const struct tag *tag)
{
	const u8 *bytes = (const u8 *)tag;

	told.has_framebuffer = true;
	told.framebuffer = (struct framebuffer){
		tag->words[0] | (u64)tag->words[1] << 32, tag->words[3], tag->words[4],
		tag->words[2], bytes[28], bytes[29], { 0 },
	};
	if (bytes[29] == 1)	/* after a reserved half word, which the text calls a byte */
		memcpy(told.framebuffer.colours, bytes + 32, 6);
}

/* Copies. The one for ACPI 1.0 has 20 bytes, whatever its revision says of more. */
static void decode_rsdp(u64 address, u32 size, bool new)
{
	add_fact(new ? "rsdp_new" : "rsdp_old", size);
	if (size < (new ? RSDP_SIZE : RSDP_OLD_SIZE) || !rsdp_valid(address, size) ||
	    !rsdp_leads(address, size))
		fail(new ? "rsdp-new" : "rsdp-old");
	if (told.rsdp && !new)
		return;
	told.rsdp = address;
	told.rsdp_size = size;
}

static void decode_tag(const struct tag *tag)
{
	const u64 words = (uintptr_t)tag->words;

	switch (tag->type) {
	case CMDLINE:
		told.cmdline = words;
		break;
	case LOADER_NAME:
		told.loader = words;
		break;
	case MODULE:
		if (tag->words[1] < tag->words[0])
			fail("module-end");
		if (tag->words[0] & 0xfff)
			fail("module-alignment");
		add_module(tag->words[0], tag->words[1] - tag->words[0], words + 8);
		break;
	case MEMORY:
		add_fact("mem_lower", tag->words[0]);
		add_fact("mem_upper", tag->words[1]);
		break;
	case MEMORY_MAP:
		decode_map(tag);
		break;
	case FRAMEBUFFER:
		decode_framebuffer(tag);
		break;
	case ELF_SECTIONS:
		add_fact("sections", tag->words[0]);
		break;
	case RSDP_OLD:
	case RSDP_NEW:
		decode_rsdp(words, tag->size - 8, tag->type == RSDP_NEW);
		break;
	case LOAD_BASE:
		add_fact("load_base", tag->words[0]);
		if (tag->words[0] != (uintptr_t)image_start)
			fail("load-base");
		break;
	}
}

static void check_tags(void)
{
	/* Those that our header demands; a module tag is there if there is a module. */
	if (!seen[CMDLINE])
		fail("tag-command-line");
	if (!seen[LOADER_NAME])
		fail("tag-loader-name");
	if (!seen[MEMORY])
		fail("tag-memory");
	if (!seen[MEMORY_MAP])
		fail("tag-memory-map");
#if MOVABLE
	if (!seen[LOAD_BASE])
		fail("tag-load-base");
#endif
}

void decode_multiboot2(const struct entry_state *state)
{
	const struct info *info = physical(state->general[RBX], sizeof(*info));
	u32 at = sizeof(*info);

	if (!info)
		return;
	if (state->general[RBX] & 7)
		fail("info-alignment");
	check_apart("info-over-image", state->general[RBX], info->total_size);
	add_fact("total_size", info->total_size);
	while (at + 8 <= info->total_size) {
		const struct tag *tag = (const struct tag *)((const u8 *)info + at);

		if (tag->size < 8 || tag->size > info->total_size - at) {
			fail("tag-size");
			break;
		}
		if (tag->type < LENGTH(seen))
			seen[tag->type] = true;
		if (tag->type == END) {
			if (tag->size != 8)
				fail("end-tag");
			break;
		}
		decode_tag(tag);
		at += (tag->size + 7) & ~7u;
	}
	if (!seen[END])
		fail("end-tag");
	check_tags();
}
