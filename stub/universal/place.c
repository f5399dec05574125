/*
 * Where the kernel and the initrd go. Both stay where they are if they may; otherwise they go to RAM
 * that the map grants and that nothing else needs.
 */
#include "core.h"
#include "boot_params.h"

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

/* What was built in, a space, what was handed over: Linux lets the later one win. */
static void join_command_line(u64 built_in, u64 handed_in)
{
	u64 most = params()->command_line_max;
	u64 size = built_in + (built_in && handed_in) + handed_in;
	char *at = command_line;

	if (most >= COMMAND_LINE)
		most = COMMAND_LINE - 1;
	if (size > most)
		stop("command line", size, "no more characters than the kernel takes are needed");
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
		stop("memory map", handed.map_count, "an entry that is RAM is needed");
	for (u32 i = 0; i < handed.module_count; i++) {
		const struct range *module = &handed.modules[i];

		if (!in_ram(module->start, module->size))
			stop("module", module->start, "a range in the memory map's RAM is needed");
		if (overlap(module->start, module->size, (u64)_start, image))
			stop("module", module->start, "one that is not in the image is needed");
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
		stop("kernel", params()->kernel_memory, "as many bytes of free RAM are needed");
	return at;
}

/* Each piece at a multiple of 4, with zeros between: legacy LZ4 ends with four of them. */
static u64 behind_piece(u64 end)
{
	return ((end + 3) & -4ULL) + 4;
}

static u64 copy_piece(u64 end, const struct range *piece, bool first)
{
	u64 at = first ? end : behind_piece(end);

	memset((void *)end, 0, at - end);
	memcpy((void *)at, reach(piece->start, piece->size, "module"), piece->size);
	return at + piece->size;
}

static u64 find_initrd(u64 size)
{
	u64 most = params()->initrd_max, at;

	at = find_room(size, PAGE_SIZE, LOW, most < FOUR_GIB ? most + 1 : FOUR_GIB);
	if (!at && kernel_takes_high())
		at = find_room(size, PAGE_SIZE, FOUR_GIB, HIGHEST);
	if (!at)
		stop("initrd", size, "as many bytes of free RAM are needed");
	mark_taken(at, size);
	reach(at, size, "initrd");
	return at;
}

static bool initrd_may_stay(const struct range *piece, u64 kernel)
{
	u64 most = kernel_takes_high() ? HIGHEST : params()->initrd_max;

	return piece->start + (piece->size - 1) <= most &&
	       !overlap(piece->start, piece->size, kernel, params()->kernel_memory);
}

/* The one that was built in, then what was handed over. */
static void place_initrd(struct placed *placed)
{
	struct range built_in = { (u64)_start + params()->initrd_offset, params()->initrd_size };
	const struct range *piece, *one = 0;
	u64 size = 0, end;
	u32 count = 0;

	for (u32 i = 0; i <= handed.module_count; i++) {
		piece = i ? &handed.modules[i - 1] : &built_in;
		if (!piece->size)
			continue;
		size = (count++ ? behind_piece(size) : 0) + piece->size;
		one = piece;
		if (size > HIGHEST)
			stop("module", piece->size, "no more bytes than there is RAM are needed");
	}
	placed->initrd_size = size;
	if (!count)
		return;
	placed->initrd = one->start;
	if (count == 1 && initrd_may_stay(one, placed->kernel)) {
		reach(one->start, one->size, "module");
		return;
	}
	placed->initrd = end = find_initrd(size);
	for (u32 i = 0; i <= handed.module_count; i++) {
		piece = i ? &handed.modules[i - 1] : &built_in;
		if (piece->size)
			end = copy_piece(end, piece, end == placed->initrd);
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

u64 room_below_4g(u64 size)
{
	u64 room = find_room(size, PAGE_SIZE, LOW, FOUR_GIB);

	if (!room)
		stop("stub", size, "as many bytes of free RAM below 4 GiB are needed");
	mark_taken(room, size);
	reach(room, size, "stub");
	return room;
}

void place(struct placed *placed)
{
	const struct params *image = params();
	u64 stub = (u64)_start, source = stub + image->kernel_offset;

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
	all_is_taken();
	place_initrd(placed);
}
