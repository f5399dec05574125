/*
 * Where the kernel and the initrd go. Both stay where they are if they may; otherwise they go to RAM
 * that the map grants and that nothing else needs.
 */
#include "core.h"
#include "boot_params.h"

#define RESERVED_LEAST	0x10000
#define LONGEST		0x1000000	/* of what Linux before 5.9 reads on our page tables */
#define COMMAND_LINE	0x1000		/* the kernel reads 2048 bytes, however long the line is */

static char command_line[COMMAND_LINE];

bool kernel_is_32(void)
{
	return params()->kernel_kind == KERNEL_BZIMAGE32 || params()->kernel_kind == KERNEL_ELF32;
}

bool kernel_takes_high(void)
{
	return !kernel_is_32() && *wrapped(XLOADFLAGS) & XLF_CAN_BE_LOADED_ABOVE_4G;
}

bool kernel_takes_five_levels(void)
{
	return !kernel_is_32() && *wrapped(XLOADFLAGS) & XLF_5LEVEL;
}

/* What was built in, a space, what was handed over: Linux lets the later one win. */
static void join_command_line(u64 built_in, u64 handed_in)
{
	u64 most = params()->command_line_max;
	u64 size = built_in + (built_in && handed_in) + handed_in;
	char *at = command_line;

	if (most >= COMMAND_LINE)
		most = COMMAND_LINE - 1;
	if (size > most)
		stop("command line", size, "no more characters than the kernel takes are");
	memcpy(at, reach((u64)_start + params()->command_line_offset, built_in, "command line"),
	       built_in);
	at += built_in;
	if (built_in && handed_in)
		*at++ = ' ';
	memcpy(at, reach(handed.command_line, handed_in, "command line"), handed_in);
}

static void check_memory(void)
{
	u64 image = params()->kernel_offset + params()->kernel_size;
	bool ram = false;

	for (u32 i = 0; i < handed.map_count; i++)
		ram |= is_ram(&handed.map[i]) && handed.map[i].size;
	if (!ram)
		stop("memory map", handed.map_count, "an entry that is RAM is");
	for (u32 i = 0; i < handed.module_count; i++) {
		const struct range *module = &handed.modules[i];

		if (!in_ram(module->start, module->size))
			stop("module", module->start, "a range in the memory map's RAM is");
		if (overlap(module->start, module->size, (u64)_start, image))
			stop("module", module->start, "one that is not in the image is");
	}
}

static u64 find_kernel(u64 source)
{
	u64 limit = kernel_takes_high() ? HIGHEST : FOUR_GIB;
	u64 size = params()->kernel_memory, align = params()->kernel_align;
	u64 wanted = params()->kernel_address, at = 0;

	if (!(params()->flags & PARAMS_RELOCATABLE))
		return in_the_way(wanted, size) ? 0 : wanted;
	if (!(source & (align - 1)) && source >= wanted && source < limit && size <= limit - source &&
	    !in_the_way(source, size))
		return source;
	at = find_room(size, align, wanted, FOUR_GIB);
	if (!at && kernel_takes_high())
		at = find_room(size, align, FOUR_GIB, HIGHEST);
	return at;
}

/* Modules are in the way, unless there is no other place: then they have to move. */
static u64 place_kernel(u64 source)
{
	u32 without = taken_count;
	u64 at;

	mark_taken((u64)_start + params()->initrd_offset, params()->initrd_size);
	for (u32 i = 0; i < handed.module_count; i++)
		mark_taken(handed.modules[i].start, handed.modules[i].size);
	at = find_kernel(source);
	if (!at) {
		u32 all = taken_count;

		taken_count = without;
		at = find_kernel(source);
		if (!at && !(params()->flags & PARAMS_RELOCATABLE))
			stop_over("kernel", params()->kernel_address, "all of it must be free, unlike ",
				  obstacle(params()->kernel_address, params()->kernel_memory));
		taken_count = all;
	}
	if (!at)
		stop("kernel", params()->kernel_memory, "as many bytes of free RAM are");
	return at;
}

/* Each piece at a multiple of 4, with zeros between: legacy LZ4 ends with four of them. */
static u64 behind_piece(u64 end)
{
	return ((end + 3) & -4ULL) + 4;
}

static u64 find_initrd(u64 size)
{
	u64 most = params()->initrd_max, at;

	at = find_room(size, PAGE_SIZE, LOW, most < FOUR_GIB ? most + 1 : FOUR_GIB);
	if (!at && kernel_takes_high())
		at = find_room(size, PAGE_SIZE, FOUR_GIB, HIGHEST);
	if (!at)
		stop("initrd", size, "as many bytes of free RAM are");
	mark_taken(at, size);
	return at;
}

static bool initrd_may_stay(const struct range *piece, u64 kernel)
{
	u64 most = kernel_takes_high() ? HIGHEST : params()->initrd_max;

	return piece->start + (piece->size - 1) <= most &&
	       !overlap(piece->start, piece->size, kernel, params()->kernel_memory);
}

/* The one that was built in, then what was handed over. */
static struct range piece(u32 number)
{
	struct range built_in = { (u64)_start + params()->initrd_offset, params()->initrd_size };

	return number ? handed.modules[number - 1] : built_in;
}

static void place_initrd(struct placed *placed)
{
	struct range one, last = { 0 };
	u64 size = 0;
	u32 count = 0;

	for (u32 i = 0; i <= handed.module_count; i++) {
		one = piece(i);
		if (!one.size)
			continue;
		size = (count++ ? behind_piece(size) : 0) + one.size;
		last = one;
		if (size > HIGHEST)
			stop("module", one.size, "no more bytes than there is RAM are");
	}
	placed->initrd_size = size;
	if (!count)
		return;
	placed->initrd = last.start;
	if (count > 1 || !initrd_may_stay(&last, placed->kernel))
		placed->initrd = find_initrd(size);
}

static void copy_initrd(const struct placed *placed)
{
	u64 end = 0, at = placed->initrd;

	reach(at, placed->initrd_size, "initrd");
	for (u32 i = 0; i <= handed.module_count; i++) {
		struct range one = piece(i);

		if (!one.size)
			continue;
		if (end) {
			at = behind_piece(end);
			memset((void *)end, 0, at - end);
		}
		if (at != one.start)
			memcpy((void *)at, reach(one.start, one.size, "module"), one.size);
		end = at + one.size;
	}
}

/*
 * What a loader of ELF files does behind the file's end. Linux's own protocol has no such promise; a
 * bzImage needs none.
 */
void move_kernel(const struct placed *placed)
{
	u64 size = params()->kernel_size, memory = params()->kernel_memory;
	u64 to = placed->kernel, source = placed->source;
	bool elf = params()->kernel_kind == KERNEL_ELF64 || params()->kernel_kind == KERNEL_ELF32;

	reach(to, memory, "kernel");
	if (to != source)
		memmove((void *)to, reach(source, size, "kernel"), size);
	if (elf && memory > size && (to != source || !placed->zeroed))
		memset((void *)(to + size), 0, memory - size);
}

u64 joined_command_line(void)
{
	return (u64)command_line;
}

/*
 * What the kernel gets is in scratch memory, and to leave 64-bit mode the code must be below 4 GiB
 * too: EFI may have put us above. And a kernel with one address only may have to lie where we do.
 */
static bool needs_copy(const struct placed *placed)
{
	return placed->over_stub ||
	       ((u64)_start >> 32 &&
		(!kernel_takes_high() || (has_five_levels() && !kernel_takes_five_levels())));
}

static u64 room_for_stub(void)
{
	u64 room = find_room(SCRATCH_END, PAGE_SIZE, LOW, FOUR_GIB);

	if (!room)
		stop("stub", SCRATCH_END, "as many bytes of free RAM below 4 GiB are");
	mark_taken(room, SCRATCH_END);
	return room;
}

void choose_places(struct placed *placed)
{
	const struct params *image = params();
	u64 stub = (u64)_start, source = stub + image->kernel_offset;

	taken_count = 0;
	join_command_line(image->command_line_size, handed.command_line_size);
	check_memory();
	placed->over_stub = !(image->flags & PARAMS_RELOCATABLE) &&
			    overlap(image->kernel_address, image->kernel_memory, stub, SCRATCH_END);
	if (!placed->over_stub)
		mark_taken(stub, SCRATCH_END);
	for (u32 i = 0; i < handed.kept_count; i++)
		mark_taken(handed.kept[i].start, handed.kept[i].size);
	placed->source = source;
	placed->kernel = place_kernel(source);
	mark_taken(placed->kernel, image->kernel_memory);
	mark_taken(source, image->kernel_size);
	mark_taken(stub, SCRATCH_END);
	place_initrd(placed);
	placed->copy = needs_copy(placed) ? room_for_stub() : 0;
}

/*
 * Linux 5.1 to 5.8 looks through ACPI's tables on our page tables, for KASLR. On any PC they lie below
 * 4 GiB in what is told as ACPI's, or as reserved: SeaBIOS has 128 KiB or more at the end of RAM.
 */
static void reach_acpi(void)
{
	for (u32 i = 0; i < handed.map_count; i++) {
		const struct e820_entry *entry = &handed.map[i];
		bool large = entry->type == 2 && entry->size >= RESERVED_LEAST;

		if ((large || entry->type - 3 < 2) && entry->size < LONGEST && !(entry->start >> 32))
			may_reach(entry->start, entry->size);
	}
}

void place(struct placed *placed)
{
	choose_places(placed);
	all_is_taken();
	for (u32 i = 0; i < handed.kept_count; i++)
		may_reach(handed.kept[i].start,
			  handed.kept[i].size < LONGEST ? handed.kept[i].size : LONGEST);
	reach_acpi();
	copy_initrd(placed);
}
