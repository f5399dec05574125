/* What all decoders fill in, and what must hold of it by any ABI. */
#include "microkernel.h"

#define RAM 1

void add_module(u64 start, u64 size, u64 cmdline)
{
	if (told.modules_count == LENGTH(told.modules)) {
		fail("too-many-modules");
		return;
	}
	told.modules[told.modules_count++] = (struct module){ start, size, cmdline };
}

void add_range(u64 start, u64 size, u32 type)
{
	if (told.ranges_count == LENGTH(told.ranges)) {
		fail("too-many-ranges");
		return;
	}
	if (start + size < start)
		fail("range-wraps");
	told.ranges[told.ranges_count++] = (struct range){ start, start + size, type };
}

void add_node(u32 type, u32 size, u64 data)
{
	const u8 *bytes = physical(data, size);

	if (told.nodes_count == LENGTH(told.nodes)) {
		fail("too-many-nodes");
		return;
	}
	told.nodes[told.nodes_count++] = (struct node){ type, size, bytes ? crc32(bytes, size) : 0 };
}

void add_fact(const char *name, u64 value)
{
	struct fact *fact;

	if (told.facts_count == LENGTH(told.facts)) {
		fail("too-many-facts");
		return;
	}
	fact = &told.facts[told.facts_count++];
	for (u32 i = 0; name[i] && i < sizeof(fact->name) - 1; i++)
		fact->name[i] = name[i];
	fact->value = value;
}

static bool sums_to_zero(const u8 *bytes, u32 size)
{
	u8 sum = 0;

	for (u32 i = 0; i < size; i++)
		sum += bytes[i];
	return !sum;
}

/* ACPI 6.5, 5.2.5.3: of the first 20 bytes, and from revision 2 on of all. */
bool rsdp_valid(u64 address, u32 size)
{
	const u8 *rsdp = address ? physical(address, size) : NULL;
	u32 length;

	if (!rsdp || memcmp(rsdp, "RSD PTR ", 8) || !sums_to_zero(rsdp, RSDP_OLD_SIZE))
		return false;
	if (size == RSDP_OLD_SIZE || rsdp[15] < 2)
		return true;
	length = *(const u32 *)(rsdp + 20);
	return length >= RSDP_SIZE && length < 4096 && sums_to_zero(rsdp, length);
}

static bool table_valid(u64 address, const char *signature)
{
	const u8 *table = physical(address, 36);
	u32 length = table ? *(const u32 *)(table + 4) : 0;

	return length >= 36 && length < 65536 && physical(address, length) &&
	       !memcmp(table, signature, 4) && sums_to_zero(table, length);
}

/* Where a valid one leads: to an XSDT from revision 2 on, and to an RSDT if it names one, or must. */
bool rsdp_leads(u64 address, u32 size)
{
	const u8 *rsdp = physical(address, size);
	const u32 rsdt = *(const u32 *)(rsdp + 16);

	if (size == RSDP_OLD_SIZE || rsdp[15] < 2)
		return table_valid(rsdt, "RSDT");
	return table_valid(*(const u64 *)(rsdp + 24), "XSDT") && (!rsdt || table_valid(rsdt, "RSDT"));
}

/* ACPI 6.5, 5.2.5.1: on 16-byte boundaries of the EBDA's first KiB and of 0xE0000-0xFFFFF. */
u64 rsdp_search(void)
{
	u64 ebda = (u64) * (const volatile u16 *)physical(0x40e, 2) << 4;

	told.rsdp_searched = true;
	told.rsdp_size = RSDP_SIZE;
	if (ebda >= 0x400 && ebda < 0xa0000)
		for (u64 at = ebda; at < ebda + 0x400; at += 16)
			if (rsdp_valid(at, RSDP_SIZE))
				return at;
	for (u64 at = 0xe0000; at < 0x100000; at += 16)
		if (rsdp_valid(at, RSDP_SIZE))
			return at;
	return 0;
}

static bool in_ram(u64 start, u64 end)
{
	bool moved = true;

	/* The records need not be sorted: go as far as one of them leads, until none does. */
	while (start < end && moved) {
		moved = false;
		for (u32 i = 0; i < told.ranges_count; i++) {
			const struct range *range = &told.ranges[i];

			if (range->type == RAM && range->start <= start && range->end > start) {
				start = range->end;
				moved = true;
			}
		}
	}
	return start >= end;
}

/* What was handed over does not lie where we are, and would not survive us. */
void check_apart(const char *check, u64 start, u64 size)
{
	if (start < (uintptr_t)image_end && start + size > (uintptr_t)image_start)
		fail(check);
}

void check_told(void)
{
	const u64 start = (uintptr_t)image_start, end = (uintptr_t)image_end;

	if (!told.ranges_count)
		fail("memory-map");
	else if (!in_ram(start, end))
		fail("image-in-ram");
	for (u32 i = 0; i < told.modules_count; i++) {
		const u64 first = told.modules[i].start, last = first + told.modules[i].size;

		if (told.ranges_count && !in_ram(first, last))
			fail("module-in-ram");
		check_apart("module-over-image", first, last - first);
		for (u32 j = 0; j < i; j++)
			if (first < told.modules[j].start + told.modules[j].size &&
			    last > told.modules[j].start)
				fail("module-over-module");
	}
	if (told.cmdline)
		check_apart("command-line-over-image", told.cmdline,
			    text_length(told.cmdline, 0x10000) + 1);
	if (told.rsdp && !rsdp_valid(told.rsdp, told.rsdp_size))
		fail("rsdp");
	else if (told.rsdp && !rsdp_leads(told.rsdp, told.rsdp_size))
		fail("rsdp-tables");
}
