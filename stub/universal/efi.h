/*
 * UEFI as far as the stub uses it: UEFI specification 2.10, sections 4, 7, 9, 12 and 13.
 *
 * One code for firmware of both widths: pointers and UINTNs of the firmware's structures are read by
 * efi_word(), functions are called by efi_call(), which leaves 64-bit mode for 32-bit firmware. What it
 * writes to is a u64 that was zero. Integers and structures of fixed width are the same in both.
 */
#ifndef EFI_H
#define EFI_H

#include "universal.h"

typedef unsigned short char16;

#define EFI_SUCCESS		0
#define EFI_ERROR(code)		(1ULL << 63 | (code))	/* efi_call() says so for both widths */
#define EFI_BUFFER_TOO_SMALL	EFI_ERROR(5)
#define EFI_NOT_FOUND		EFI_ERROR(14)

#define EFI_PAGE	0x1000ULL
#define LOADER_DATA	2	/* EFI_MEMORY_TYPE */

struct guid {
	u32 first;
	u16 second, third;
	u8 rest[8];
};

struct memory_descriptor {
	u32 type, pad;
	u64 start, virtual_start, pages, attribute;
} PACKED;	/* their distance may be any */

/* Where a member is: behind so many bytes of fixed width and so many words of the firmware's. */
#define TABLE_HEADER		24
#define SYSTEM_OUT		TABLE_HEADER, 5
#define SYSTEM_RUNTIME		TABLE_HEADER, 8
#define SYSTEM_BOOT		TABLE_HEADER, 9
#define SYSTEM_COUNT		TABLE_HEADER, 10
#define SYSTEM_CONFIGURATION	TABLE_HEADER, 11
#define RUNTIME_GET_VARIABLE	TABLE_HEADER, 6
#define OUT_OUTPUT_STRING	0, 1
#define IMAGE_DEVICE		0, 3
#define IMAGE_OPTIONS_SIZE	0, 6
#define IMAGE_OPTIONS		0, 7
#define LOAD_FILE_LOAD		0, 0
#define SYSTEM_OPEN_VOLUME	8, 0
#define FILE_OPEN		8, 0
#define FILE_CLOSE		8, 1
#define FILE_READ		8, 3
#define FILE_GET_INFO		8, 7
#define GRAPHICS_MODE		0, 3
#define MODE_INFO		8, 0
#define MODE_BASE		8, 2
#define EDID_DATA		0, 1

/* Boot services, by their number. */
#define ALLOCATE_PAGES		2
#define FREE_PAGES		3
#define GET_MEMORY_MAP		4
#define ALLOCATE_POOL		5
#define FREE_POOL		6
#define HANDLE_PROTOCOL		16
#define LOCATE_DEVICE_PATH	20
#define EXIT			24
#define EXIT_BOOT_SERVICES	26
#define LOCATE_HANDLE_BUFFER	36

#pragma GCC visibility push(hidden)

struct efi {
	u64 handle, table;
	u64 boot;	/* 0: they are gone, or were not found yet */
	u64 console;	/* 0: there is none */
	u64 line, map;	/* memory of its pool that we have */
	u32 width;	/* bytes of a pointer */
	bool leaving;	/* but for memory's they may be gone: UEFI 2.10, 7.4.6 */
	bool called;	/* as a PE image's entry is, so that returning ends it */
	u32 others;	/* modules that somebody else has allocated: the first ones */
};

extern struct efi efi;

/* efi.c */
u64 efi_word(u64 base, u32 bytes, u32 words);
u64 efi_boot(u32 service, u64 a, u64 b, u64 c, u64 d, u64 e);
u64 efi_protocol(u64 handle, const struct guid *guid);	/* 0: it has none */
void efi_begin(u64 image_handle, u64 system_table);

/* from_efi_initrd.c. `image` is 0 if load options are not for us. */
void find_initrd(struct handed *handed, u64 image);

/* from_efi_screen.c */
void find_screen(struct handed *handed);

/* from_efi_text.c */
u64 utf16_to_utf8(const char16 *from, u64 count, u8 *to, u64 room);
u64 next_initrd(const char16 *options, u64 count, u64 from, char16 *name, u64 room);

/* from_efi_map.c. `own` is memory that may be used although a loader has allocated it: the image's. */
void add_efi_map(struct handed *handed, const u8 *map, u64 size, u64 step, struct range own);

/* efi_calls.S; 32-bit code is for call_firmware32() */
extern const u8 return32[];
u64 efi_call(u64 function, u64 a, u64 b, u64 c, u64 d, u64 e);
void return64(const struct entered *entered);

#pragma GCC visibility pop

#endif
