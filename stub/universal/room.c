/*
 * Which memory is free: RAM that the map grants, in any order and however it overlaps, that nobody has
 * taken and that no entry says is something else.
 */
#include "core.h"

static struct range taken[MAX_MODULES + MAX_KEPT + 32];
u32 taken_count;
static bool all_known;	/* what is taken: until then nothing may be given away */

void mark_taken(u64 start, u64 size)
{
	if (!size)
		return;
	if (taken_count == sizeof(taken) / sizeof(*taken))
		stop_text("memory", "less that is in use is");
	taken[taken_count].start = start;
	taken[taken_count++].size = size;
}

bool is_ram(const struct e820_entry *entry)
{
	return entry->type == E820_RAM || entry->type == MAP_RAM_KEPT;
}

bool overlap(u64 start, u64 size, u64 other, u64 other_size)
{
	return size && other_size && start <= other + (other_size - 1) &&
	       other <= start + (size - 1);
}

/* The first address behind a range; the last of all if there is none behind it. */
static u64 behind(u64 start, u64 size)
{
	u64 end = start + size;

	return end < start ? ~0ULL : end;
}

/* From where on a range is not RAM: its end, or the first address that no RAM entry has. */
static u64 ram_until(u64 at, u64 end)
{
	for (u32 i = 0; i < handed.map_count && at < end; i++) {
		const struct e820_entry *entry = &handed.map[i];
		u64 entry_end = behind(entry->start, entry->size);

		if (is_ram(entry) && entry->start <= at && at < entry_end) {
			at = entry_end;
			i = -1;		/* entries need not be sorted */
		}
	}
	return at;
}

/* The next address where it may be better than at `at`; 0 if all of the range is free RAM. */
u64 in_the_way(u64 at, u64 size)
{
	u64 hole, next = ~0ULL;

	for (u32 i = 0; i < taken_count; i++)
		if (overlap(at, size, taken[i].start, taken[i].size))
			return behind(taken[i].start, taken[i].size);
	for (u32 i = 0; i < handed.map_count; i++) {
		const struct e820_entry *entry = &handed.map[i];

		if (entry->type != E820_RAM && overlap(at, size, entry->start, entry->size))
			return behind(entry->start, entry->size);
	}
	hole = ram_until(at, at + size);
	if (hole >= at + size)
		return 0;
	for (u32 i = 0; i < handed.map_count; i++) {
		const struct e820_entry *entry = &handed.map[i];

		if (entry->type == E820_RAM && entry->start > hole && entry->start < next)
			next = entry->start;
	}
	return next;
}

/* The lowest free room from `from` on that ends before `end`; 0 if there is none. */
u64 find_room(u64 size, u64 align, u64 from, u64 end)
{
	u64 at = (from + align - 1) & -align, next;

	while (at >= from && at < end && size <= end - at) {
		next = in_the_way(at, size);
		if (!next)
			return at;
		from = next;
		at = (next + align - 1) & -align;
	}
	return 0;
}

bool in_ram(u64 start, u64 size)
{
	return start + size >= start && ram_until(start, start + size) >= start + size;
}

/* The first address that is not free RAM; there is one. */
u64 obstacle(u64 at, u64 size)
{
	u64 low = 0, high = size;

	while (high - low > 1) {
		u64 middle = low + (high - low) / 2;

		if (in_the_way(at, middle))
			high = middle;
		else
			low = middle;
	}
	return at + low;
}

void all_is_taken(void)
{
	all_known = true;
}

u64 room_for_tables(u64 size)
{
	u64 room = all_known ? find_room(size, PAGE_SIZE, LOW, FOUR_GIB) : 0;

	if (all_known && !room)
		room = find_room(size, PAGE_SIZE, FOUR_GIB, HIGHEST);
	mark_taken(room, room ? size : 0);
	return room;
}
