/* The firmware's memory map as E820 has it. */
#include "efi.h"

#define SOFT_RESERVED 0xefffffffU	/* Linux's own: memory for a special purpose */
#define SPECIAL_PURPOSE 0x40000ULL	/* EFI_MEMORY_SP */
#define SKIPPED 0
#define KEPT 0xff	/* MAP_RAM_KEPT, in a byte */

/*
 * As setup_e820() of Linux's EFI stub, with one difference that only place.c sees: what the firmware's
 * boot services and loaders have in RAM is not ours to overwrite. Linux keeps it until the runtime
 * services have their virtual addresses, and tables (ESRT, BGRT) lie there.
 */
static u32 e820_type(const struct memory_descriptor *descriptor)
{
	/* By EFI_MEMORY_TYPE. What is not accepted yet, and what nobody knows, is not said at all. */
	static const u8 types[] = { 2, 1, KEPT, KEPT, KEPT, 2, 2, 1, 5, 3, 4, 2, 2, 2, 7 };
	u32 type = descriptor->type < sizeof(types) ? types[descriptor->type] : SKIPPED;

	if (type != 1 && type != KEPT)
		return type;
	if (descriptor->attribute & SPECIAL_PURPOSE)
		return SOFT_RESERVED;
	return type == 1 ? 1 : MAP_RAM_KEPT;
}

/* One entry in the making: neighbours of one type become one. */
struct run {
	struct handed *handed;
	u64 start, end;
	u32 type;
};

static void flush(struct run *run)
{
	if (run->type != SKIPPED)
		add_map(run->handed, run->start, run->end - run->start, run->type);
	run->type = SKIPPED;
}

static void extend(struct run *run, u64 start, u64 end, u32 type)
{
	if (start >= end)
		return;
	if (type != run->type || start != run->end) {
		flush(run);
		run->start = start;
		run->type = type;
	}
	run->end = end;
}

static u64 clamp(u64 value, u64 low, u64 high)
{
	return value < low ? low : value > high ? high : value;
}

/*
 * Descriptors are `step` bytes apart, which is more than this version of them has. One that is empty
 * or wraps around the address space says nothing.
 */
void add_efi_map(struct handed *handed, const u8 *map, u64 size, u64 step, struct range own)
{
	struct run run = { .handed = handed };

	if (step < sizeof(struct memory_descriptor))
		return;
	for (; size >= step; map += step, size -= step) {
		const struct memory_descriptor *one = (const void *)map;
		u64 start = one->start, end = start + one->pages * EFI_PAGE;
		u64 own_start = clamp(own.start, start, end);
		u64 own_end = clamp(own.start + own.size, start, end);
		u32 type = e820_type(one);

		if (type == SKIPPED || one->pages >> 52 || end <= start)
			continue;
		extend(&run, start, own_start, type);
		extend(&run, own_start, own_end, type == MAP_RAM_KEPT ? 1 : type);
		extend(&run, own_end, end, type);
	}
	flush(&run);
}
