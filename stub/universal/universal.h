/*
 * The single stub: what its parts share.
 *
 * One flat, position-independent binary with one entry address, `_start`, its first byte. The way of a
 * start: start.S (finds the mode, makes a stack, goes to 64-bit mode) -> main.c -> one decoder
 * from_*.c, which writes what it was told into a struct handed -> place.c (finds room for the kernel,
 * the initrd) -> zero_page.c (makes the page complete) -> enter.S (the wrapped kernel).
 *
 * Nothing has an absolute address and nothing is relocated: no tables of pointers.
 */
#ifndef UNIVERSAL_H
#define UNIVERSAL_H

#include "layout.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;
#define true 1
#define false 0

#define PACKED __attribute__((packed))
#define NORETURN __attribute__((noreturn))

/* layout.h names the offsets; hvmlite.spec.universal has the same structure for who fills it in. */
struct params {
	u32 magic;		/* PARAMS_MAGIC */
	u32 version;		/* PARAMS_VERSION */
	u32 kernel_kind;	/* KERNEL_* */
	u32 flags;		/* PARAMS_RELOCATABLE */
	u64 kernel_offset;	/* of its first byte, as all offsets: from _start */
	u64 kernel_size;	/* bytes in the image */
	u64 kernel_memory;	/* bytes that it needs from its first one on: init_size, p_memsz */
	u64 kernel_address;	/* where it wants to be: pref_address, p_paddr; not below it */
	u64 kernel_align;	/* a power of two */
	u64 kernel_entry;	/* from its first byte */
	u64 initrd_offset;	/* the built-in initrd */
	u64 initrd_size;	/* 0: there is none */
	u64 command_line_offset;
	u64 command_line_size;	/* without a NUL; 0: there is none */
	u64 image_offset;	/* of the image's first byte in memory, two's complement: it is negative */
	u64 image_size;		/* of what is certainly in memory, scratch and payload included */
	u64 initrd_max;		/* the last byte that an initrd may have */
	u32 command_line_max;	/* characters without the NUL */
	u32 reserved;
} PACKED;

struct range {
	u64 start, size;
};

#define E820_RAM	1

struct e820_entry {
	u64 start, size;
	u32 type;		/* 1 RAM, 2 reserved, 3 ACPI, 4 NVS, 5 unusable, 7 persistent: E820's own */
} PACKED;

/*
 * RAM whose content must live until the kernel has seen it (EFI's boot services, loaders' data): place.c
 * takes none of it, zero_page.c says 1 and makes it one entry with neighbours that are RAM.
 */
#define MAP_RAM_KEPT 0x10000001

/* What a loader calls a range: the number above is ours, and means nothing from anybody else. */
static inline u32 told_type(u32 type)
{
	return type == MAP_RAM_KEPT ? 2 : type;
}

/*
 * What a start told. A decoder fills it in and copies nothing but small things: modules and the
 * command line stay where they are. `zero_page` is the page that the kernel will get: it begins as
 * zeros, and what has a field there (screen_info, efi_info, acpi_rsdp_addr, loader type, EDD,
 * hardware_subarch, setup_data) is put there directly.
 */
struct handed {
	const char *way;	/* "pvh": begins each message about it */
	u8 *zero_page;
	u64 command_line;	/* address, 0: none */
	u64 command_line_size;	/* bytes before the NUL */
	struct range modules[MAX_MODULES];
	u32 module_count;
	u32 map_count;
	struct e820_entry *map;	/* MAX_MAP entries, in the order in which they came */
	struct range kept[MAX_KEPT];	/* what else the kernel will read, and nothing may be put over */
	u32 kept_count;
	u32 reserved;
};

/* start.S: the registers at _start, as far as the mode has them (the rest is zero). */
struct entered {
	u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rflags, cr0, cr3, cr4, efer;	/* IF is clear in a 32-bit start's flags, it is not known */
	u32 bits;		/* 32 or 64 */
	u32 handover;		/* whether it was EFI's handover entry */
	u16 cs, ds, es, fs, gs, ss;
	u8 gdtr[10], idtr[10];	/* limit and base, as LGDT and LIDT take them in that mode */
} PACKED;

/* All that is linked in is at a known distance: nothing goes through a table of addresses. */
#pragma GCC visibility push(hidden)

extern struct entered entered;
extern struct handed handed;

/* memory.c */

/*
 * Make `size` bytes at a physical address readable (they need not be RAM) and return the pointer to
 * them, which is the address. Every address that somebody handed over goes through here first.
 * Stops with a message that begins with `what` if the range wraps around, is beyond the processor, or
 * is the stub's own.
 */
void *reach(u64 address, u64 size, const char *what);
/* The length of a string of at most `most` bytes before its NUL; stops if there is no NUL. */
u64 reach_string(u64 address, u64 most, const char *what);

/*
 * enter.S: calls 32-bit code, with its argument in EAX, in the state in which 32-bit firmware called
 * us: its stack, tables, paging, and interrupts on. For from_efi(), after a 32-bit start.
 */
void call_firmware32(const void *function, void *argument);

/* handed.c: decoders call these, and each stops with a message when there are too many. */
void add_map(struct handed *handed, u64 start, u64 size, u32 type);
void add_module(struct handed *handed, u64 start, u64 size);
/* Memory that the zero page points to: nodes of setup_data, EFI's memory map. */
void keep(struct handed *handed, u64 start, u64 size);
/* The size of a descriptor in UEFI's memory map, as firmware or a loader tells it. */
void check_descriptors(u64 step);

/* from_*.c */
void from_linux(struct handed *handed, u64 zero_page);
/* The same without the memory map, which a handover's zero page does not have yet. */
void from_linux_page(struct handed *handed, u64 zero_page);
/* Its nodes: one adds what they say of memory; one, when the map is complete, keeps the others. */
void read_setup_data(struct handed *handed);
void keep_setup_data(struct handed *handed);
void from_pvh(struct handed *handed, u64 start_info);
void from_multiboot1(struct handed *handed, u64 info);
void from_multiboot2(struct handed *handed, u64 info);
/* Both leave boot services for good. For whom the command line and modules are known already. */
void leave_efi(struct handed *handed, u64 image_handle, u64 system_table);
/* `zero_page` is the handover protocol's, or 0. */
void from_efi(struct handed *handed, u64 image_handle, u64 system_table, u64 zero_page);

/* efi.c. Neither does anything without boot services; the second may not come back. */
void efi_say(const char *text);
void efi_exit(void);

/* say.c: serial port 0x3F8, debug console 0xE9 and, where it is alive, EFI's console. */
void say(const char *text);
void say_hex(u64 number);
void say_number(u64 number);
/*
 * "hvmlite: <way>: <what>: <found 0x...>, <needed> needed" and the end: see docs/universal.md. All end in
 * that word, which no caller has to have: it would be half a KiB.
 */
void stop(const char *what, u64 found, const char *needed) NORETURN;
void stop_text(const char *what, const char *needed) NORETURN;

/* bytes.c */
void *memcpy(void *to, const void *from, unsigned long size);
void *memmove(void *to, const void *from, unsigned long size);
void *memset(void *to, int byte, unsigned long size);
int memcmp(const void *one, const void *other, unsigned long size);

#pragma GCC visibility pop

#endif
