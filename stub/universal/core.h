/* What start.S, enter.S and the C around them share, and no decoder needs. */
#ifndef UNIVERSAL_CORE_H
#define UNIVERSAL_CORE_H

/* Where struct entered has what. */
#define ENTERED_RAX	0
#define ENTERED_RCX	8
#define ENTERED_RDX	16
#define ENTERED_RBX	24
#define ENTERED_RSP	32
#define ENTERED_RBP	40
#define ENTERED_RSI	48
#define ENTERED_RDI	56
#define ENTERED_R8	64
#define ENTERED_RFLAGS	128
#define ENTERED_CR0	136
#define ENTERED_CR3	144
#define ENTERED_CR4	152
#define ENTERED_EFER	160
#define ENTERED_BITS	168
#define ENTERED_CS	176
#define ENTERED_DS	178
#define ENTERED_ES	180
#define ENTERED_FS	182
#define ENTERED_GS	184
#define ENTERED_SS	186
#define ENTERED_GDTR	188
#define ENTERED_IDTR	198

/* Our own GDT. boot.rst wants 0x10 and 0x18 to be code and data. */
#define CODE32		0x08
#define CODE64		0x10
#define DATA		0x18
#define TASK		0x20

#define TRAPS		32
#define STACK_SIZE	0x4000

#define HEADER_SIZE	0x9f		/* of the setup header, 0x1F1 to 0x290 */

/* The end of a start that failed: QEMU's isa-debug-exit ends with twice the status, plus one. */
#define STOP_PORT	0xf4
#define STOP_STATUS	0x3b

#ifndef __ASSEMBLER__
#include "universal.h"

#pragma GCC visibility push(hidden)

/* Where the kernel, and what it is given, will be when it is entered. */
struct placed {
	u64 kernel;
	u64 initrd, initrd_size;
	u64 source;		/* the kernel in the image */
	bool zeroed;		/* whoever started the image has cleared what is behind its end */
	bool over_stub;		/* the kernel's memory is where the stub lies */
	u64 copy;		/* where the stub must be itself, 0 if it may stay */
};

/* start.S */
extern u8 _start[], stack_end[];
extern const u8 trap_stubs[TRAPS][4];
extern const u64 gdt[4];
void start(void) NORETURN;
void start_copy(u64 from) NORETURN;
void trap(const u64 *pushed) NORETURN;

/* The start's facts: what the image is. */
static inline const struct params *params(void)
{
	return (const struct params *)(_start + PARAMS_OFFSET);
}

/* A field of the wrapped kernel's header, by its offset in the kernel's file. */
static inline const u8 *wrapped(u32 offset)
{
	return _start + HEADER_OFFSET + offset - 0x1f1;
}

/* handed.c */
void begin_handed(void);

/* memory.c */
void own_pages(void);		/* CR3 and CR4: ours. A 32-bit start has them already. */
void own_exceptions(void);	/* the GDT, CS and the IDT: no more than can be taken back */
void own_segments(void);	/* the same, all selectors, and a stack for exceptions */
void their_state(const struct entered *entered);	/* CR3, CR4, GDT, CS, IDT: the firmware's again */
void check_not_ours(u64 address, u64 size, const char *what);	/* stops if it is */
void *may_reach(u64 address, u64 size);	/* 0 where reach() would stop */
void move_tables(u64 from);	/* in a copy of the stub: use its page tables, not those at `from` */
u64 four_levels(void);	/* the table of the fourth level, which may be the root */
bool has_five_levels(void);

/* room.c */
extern u32 taken_count;		/* set back to forget what was taken last */
void mark_taken(u64 start, u64 size);
bool is_ram(const struct e820_entry *entry);
bool in_ram(u64 start, u64 size);
bool overlap(u64 start, u64 size, u64 other, u64 other_size);
u64 in_the_way(u64 at, u64 size);
u64 obstacle(u64 at, u64 size);
u64 find_room(u64 size, u64 align, u64 from, u64 end);
void all_is_taken(void);	/* that is in use: from now on there may be page tables in free RAM */
u64 room_for_tables(u64 size);	/* 0: there is none, or it is not known yet */

#define PAGE_SIZE		0x1000ULL
#define LOW		0x100000ULL	/* below it are BIOS's data and the processors' trampolines */
#define FOUR_GIB	0x100000000ULL
#define HIGHEST		(1ULL << 46)	/* of what Linux takes with 4-level paging */

/* place.c */
void choose_places(struct placed *placed);	/* nothing but the command line is copied yet */
void place(struct placed *placed);
void move_kernel(const struct placed *placed);
u64 joined_command_line(void);
bool kernel_is_32(void);
bool kernel_takes_five_levels(void);
bool kernel_takes_high(void);	/* it, and what it is given, above 4 GiB */

/* say.c: as stop(), with a number behind it */
void stop_over(const char *what, u64 found, const char *needed, u64 number) NORETURN;

/* zero_page.c */
void complete_zero_page(const struct placed *placed);

/* enter.S */
void enter64(u64 entry, u64 zero_page) NORETURN;
void enter64_four_levels(u64 entry, u64 zero_page, u64 root) NORETURN;
void enter32(u64 entry, u64 zero_page) NORETURN;
/* A copy of the stub and its scratch memory goes on in start_copy(), with an empty stack. */
void go_on_in_copy(u64 to) NORETURN;
/* Calls `function` with the rest, on the stack and with the interrupts that the firmware gave us. */
void call_theirs(struct handed *handed, u64 one, u64 two, u64 three,
		 void (*function)(struct handed *, u64, u64, u64));

#pragma GCC visibility pop
#endif

#endif
