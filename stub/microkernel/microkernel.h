/*
 * A kernel that does nothing but look at how it was started, and say so.
 *
 *   start()	main.c		the order of things, the verdict
 *   decode_*	<abi>.c		what the loader handed over -> struct told
 *   check_*	cpu.c		the processor's state against the ABI's document
 *   say_*	say.c		one line of JSON on the serial port
 */
#ifndef MICROKERNEL_H
#define MICROKERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* SGDT and SIDT store this much of it, by the mode they are executed in. */
struct table {
	u16 limit;
	u64 base;
} __attribute__((packed));

/* The processor at the first instruction; state.h has the offsets. */
struct entry_state {
	u64 general[16];	/* in the order of their encoding: RAX, RCX, RDX, RBX, RSP, ... */
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4, cr8, efer;
	u64 cs, ds, es, fs, gs, ss, tr, ldtr;
	struct table gdtr;
	u8 unused[6];
	struct table idtr;
	u8 unused2[6];
	u32 abi;
	u32 failed;
	u64 fault_ip;
	u64 setup;
	u64 page;
} __attribute__((packed));

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define RSDP_OLD_SIZE 20	/* of ACPI 1.0 */
#define RSDP_SIZE 36

struct module {
	u64 start, size;
	u64 cmdline;		/* its address; 0 is none */
};

struct range {
	u64 start, end;
	u32 type;
};

struct node {
	u32 type, size, crc;
};

struct framebuffer {
	u64 address;
	u32 width, height, pitch, depth, type;
	u8 colours[8];		/* position and size of red, green, blue, reserved */
};

struct fact {
	char name[24];
	u64 value;
};

/* What the loader said, in no ABI's words. Addresses are physical; 0 is none. */
struct told {
	u64 cmdline;
	u64 loader;
	u64 rsdp;
	u32 rsdp_size;		/* of what may be read there */
	bool rsdp_searched;	/* nobody said where it is: found as ACPI 5.2.5.1 has it */
	bool has_framebuffer;
	struct framebuffer framebuffer;
	u32 modules_count, ranges_count, nodes_count, facts_count;
	struct module modules[256];
	struct range ranges[1024];
	struct node nodes[64];
	struct fact facts[48];	/* what only this ABI has */
};

/* All that is linked in is at a known distance: no table of addresses is needed. */
#pragma GCC visibility push(hidden)

extern struct entry_state entry_state;
extern struct told told;
extern u8 image_start[], image_end[], bss_start[], bss_end[], gdt[], trap_stubs[];

/* linux.c, pvh.c, multiboot1.c, multiboot2.c: fill `told` and check what the document promises. */
void decode_linux(const struct entry_state *state);
void decode_pvh(const struct entry_state *state);
void decode_multiboot1(const struct entry_state *state);
void decode_multiboot2(const struct entry_state *state);

/* told.c: the decoders' common ground. A table that is full is a failed check. */
void add_module(u64 start, u64 size, u64 cmdline);
void add_range(u64 start, u64 size, u32 type);
void add_node(u32 type, u32 size, u64 data);
void add_fact(const char *name, u64 value);
void check_told(void);
void check_apart(const char *check, u64 start, u64 size);
bool rsdp_valid(u64 address, u32 size);
bool rsdp_leads(u64 address, u32 size);
u64 rsdp_search(void);

/* cpu.c */
void own_tables(void);
void own_pages(const struct entry_state *state);
void check_cpu(const struct entry_state *state);
void check_mapped(const struct entry_state *state, const char *check, u64 start, u64 size);
void read_setup_state(struct entry_state *state);

/* main.c */
void start(struct entry_state *state);
void fail(const char *check);
void leave(u32 status) __attribute__((noreturn));

/* memory.c: what physical memory holds; nothing (a failed check) where it cannot be reached. */
const void *physical(u64 address, u64 size);
u32 text_length(u64 address, u32 most);
u32 crc32(const u8 *data, u64 size);
u32 divide(u64 *number, u32 by);
void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);
int strcmp(const char *one, const char *other);
int memcmp(const void *one, const void *other, size_t size);

/* say.c */
void say_init(void);
void say(const char *text);
void say_report(const struct entry_state *state);
void say_trap(const struct entry_state *state, u32 vector, u64 ip, u64 error, u64 cr2);

#pragma GCC visibility pop

static inline void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

#endif
