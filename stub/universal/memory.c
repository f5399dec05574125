/*
 * The address space: physical memory under its own addresses, of which is mapped what somebody asked
 * for. Pages of 2 MiB; the tables come from scratch memory.
 */
#include "core.h"

#define PRESENT		0x1
#define WRITABLE	0x2
#define LARGE		0x80
#define LARGE_SIZE	0x200000ULL
#define ADDRESS		0x000ffffffffff000ULL
#define CR4_PAE		0x20
#define CR4_LA57	0x1000
#define TABLES		10

typedef u64 table[512];

/* The first is the root. start.S begins them for a 32-bit start. */
table tables[TABLES] __attribute__((section(".bss.first"), aligned(4096)));
u32 tables_used;

/* Tables that are nobody's; more than one page may need is always left. */
static table *free_tables;
static u64 free_count;

static bool foreign;
static bool five_levels;

#define LAST_TABLES	4	/* as many as mapping one page may take, and then one to have */

/*
 * When the tables in scratch are used up more come from free memory. Not before all is decoded: until
 * then what is free is not known.
 */
static table *next_table(void)
{
	table *next;

	if (tables_used < TABLES)
		return &tables[tables_used++];
	if (!free_count)
		stop_text("memory", "too many addresses far from each other, fewer are");
	next = &free_tables[--free_count];
	for (u32 i = 0; i < 512; i++)
		(*next)[i] = 0;
	return next;
}

static void more_tables(void)
{
	static bool busy;

	if (busy || tables_used + LAST_TABLES <= TABLES || free_count >= LAST_TABLES)
		return;
	busy = true;
	u64 room = room_for_tables(64 * sizeof(table));

	if (room) {
		reach(room, 64 * sizeof(table), "page tables");
		free_tables = (table *)room;
		free_count = 64;
	}
	busy = false;
}

/* Most pages are in the same gigabyte as the one before. */
static u64 gigabyte;
static table *last;

static void map_page(u64 address)
{
	table *at = tables;

	if (!last || address >> 30 != gigabyte) {
		more_tables();
		for (u32 shift = five_levels ? 48 : 39; shift > 21; shift -= 9) {
			u64 *entry = &(*at)[address >> shift & 511];

			if (!*entry)
				*entry = (u64)next_table() | PRESENT | WRITABLE;
			at = (table *)(*entry & ADDRESS);
		}
		gigabyte = address >> 30;
		last = at;
	}
	(*last)[address >> 21 & 511] = address | PRESENT | WRITABLE | LARGE;
}

/* How many bits an address has; every processor with long mode has 36. */
static u8 address_bits(void)
{
	static u8 known;
	u32 a = 0x80000000, b, c = 0, d;

	if (known)
		return known;
	known = 36;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a >= 0x80000008) {
		a = 0x80000008;
		asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
		known = a;
	}
	return known;
}

/*
 * The end of the page by which the firmware's tables, which are mapped under their own addresses, have
 * it, or 0: UEFI 2.3.4 promises no more than what its memory map tells of. Its handler of exceptions
 * would not come back.
 */
static u64 end_of_theirs(u64 address)
{
	const table *at = (const table *)(entered.cr3 & ADDRESS);

	for (u32 shift = entered.cr4 & CR4_LA57 ? 48 : 39;; shift -= 9) {
		u64 entry = (*at)[address >> shift & 511];

		if (!(entry & PRESENT))
			return 0;
		if (shift == 12 || (shift < 39 && entry & LARGE))
			return ((address >> shift) + 1) << shift;
		at = (const table *)(entry & ADDRESS);
	}
}

/* What is wrong with a range of addresses. */
static const char *wrong(u64 address, u64 size)
{
	u64 last = address + (size ? size - 1 : 0);

	if (last < address)
		return "a range that does not wrap around is";
	if (last >> 36 && last >> address_bits())
		return "an address that the processor has is";
	if (last >> 47)
		return "an address that 4-level paging can map is";
	for (u64 at = address; foreign && size && at <= last;) {
		at = end_of_theirs(at);
		if (!at)
			return "an address that the firmware has mapped is";
	}
	return 0;
}

static void *map(u64 address, u64 size)
{
	u64 last = address + (size ? size - 1 : 0);

	if (!foreign)
		for (u64 page = address & -LARGE_SIZE; page <= last; page += LARGE_SIZE)
			map_page(page);
	return (void *)address;
}

/* No loader can have put anything there that is still what it was. */
void check_not_ours(u64 address, u64 size, const char *what)
{
	if (overlap(address, size, (u64)_start, SCRATCH_END))
		stop(what, address, "memory that the stub does not lie in is");
}

static void *reach_part(u64 address, u64 size, const char *what)
{
	const char *needed = wrong(address, size);

	if (needed)
		stop(what, address, needed);
	return map(address, size);
}

void *reach(u64 address, u64 size, const char *what)
{
	reach_part(address, size, what);
	check_not_ours(address, size, what);
	return (void *)address;
}

void *may_reach(u64 address, u64 size)
{
	return wrong(address, size) ? 0 : map(address, size);
}

/* As far as the next page, which may not be there: the firmware's are small ones. */
u64 reach_string(u64 address, u64 most, const char *what)
{
	u64 at = address;

	while (at - address <= most) {
		u64 left = PAGE_SIZE - (at & (PAGE_SIZE - 1));
		bool found;

		if (left > most + 1 - (at - address))
			left = most + 1 - (at - address);
		reach_part(at, left, what);
		asm volatile("repne scasb" : "+D"(at), "+c"(left), "=@ccz"(found) : "a"(0) : "memory");
		if (found) {
			check_not_ours(address, at - address, what);
			return at - 1 - address;
		}
	}
	stop(what, address, "a NUL at its end is");
}

struct gate {
	u16 low, selector;
	u8 ist, type;
	u16 middle;
	u32 high, reserved;
} PACKED;

/* What LGDT and LIDT take. */
struct pointer {
	u16 limit;
	u64 base;
} PACKED;

/* `stack`: which of the task's stacks handlers run on; 0, the one that there is. */
static void catch_exceptions(u8 stack)
{
	static struct gate idt[TRAPS];
	struct pointer pointer = { sizeof(idt) - 1, (u64)idt };

	for (u32 i = 0; i < TRAPS; i++) {
		u64 stub = (u64)trap_stubs[i];

		idt[i].low = stub;
		idt[i].selector = CODE64;
		idt[i].ist = stack;
		idt[i].type = 0x8e;	/* an interrupt gate */
		idt[i].middle = stub >> 16;
		idt[i].high = stub >> 32;
	}
	asm volatile("lidt %0" : : "m"(pointer));
}

static void load_code(const void *gdtr, u64 selector)
{
	asm volatile("lgdt %0\n\t"
		     "pushq %1\n\t"
		     "leaq 1f(%%rip), %%rax\n\t"
		     "pushq %%rax\n\t"
		     "lretq\n"
		     "1:"
		     : : "m"(*(const struct pointer *)gdtr), "r"(selector) : "rax", "memory");
}

/* All that an exception needs. The firmware will have its data segments and its task back untouched. */
void own_exceptions(void)
{
	struct pointer pointer = { sizeof(gdt) - 1, (u64)gdt };

	load_code(&pointer, CODE64);
	catch_exceptions(0);
}

/* For good. A handler's stack is our own, whatever RSP is: what was on it is not needed any more. */
void own_segments(void)
{
	static u32 task[26];
	static u64 table[6];
	struct pointer pointer = { sizeof(table) - 1, (u64)table };
	u64 at = (u64)task;

	memcpy(table, gdt, sizeof(gdt));
	table[4] = (sizeof(task) - 1) | (at & 0xffffff) << 16 | 0x89ULL << 40 | (at >> 24 & 0xff) << 56;
	table[5] = at >> 32;
	*(u64 *)(task + 9) = (u64)stack_end;	/* IST1 */
	load_code(&pointer, CODE64);
	asm volatile("movl %0, %%ds\n\t"
		     "movl %0, %%es\n\t"
		     "movl %0, %%fs\n\t"
		     "movl %0, %%gs\n\t"
		     "movl %0, %%ss\n\t"
		     "ltr %w1"
		     : : "r"(DATA), "r"(TASK) : "memory");
	catch_exceptions(1);
}

void own_pages(void)
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	five_levels = cr4 & CR4_LA57;
	tables_used = tables_used ? tables_used : 1;
	foreign = false;
	map((u64)_start, SCRATCH_END);
	asm volatile("mov %0, %%cr3" : : "r"(tables) : "memory");
	asm volatile("mov %0, %%cr4" : : "r"((cr4 & CR4_LA57) | CR4_PAE) : "memory");
}

/* Tables that came from free memory stay where they are, and point to no table of ours. */
void move_tables(u64 from)
{
	u64 by = (u64)_start - from, old = (u64)tables - by;

	for (u64 *entry = tables[0]; entry < tables[TABLES]; entry++)
		if (*entry & PRESENT && !(*entry & LARGE) && *entry - old < sizeof(tables))
			*entry += by;
	last = 0;
	asm volatile("mov %0, %%cr3" : : "r"(tables) : "memory");
}

/* All of the firmware's memory is mapped there, under its own address. */
void their_state(const struct entered *entered)
{
	asm volatile("mov %0, %%cr4" : : "r"(entered->cr4) : "memory");
	asm volatile("mov %0, %%cr3" : : "r"(entered->cr3) : "memory");
	load_code(entered->gdtr, entered->cs);
	asm volatile("lidt %0" : : "m"(entered->idtr));
	foreign = true;
}

/* The root's only entry is the first: addresses have less than 48 bits (place.c). */
u64 four_levels(void)
{
	return (u64)tables[five_levels ? 1 : 0];
}

bool has_five_levels(void)
{
	return five_levels;
}
