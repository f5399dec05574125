/*
 * Runs the stub's decoders as a program of the host, under the compiler's sanitizers. What tests ask
 * comes on stdin, what the decoder made of it goes to stdout. Guest addresses are the program's own:
 * its RAM is mapped there and poisoned, and only what went through reach() may be read.
 */
#define _GNU_SOURCE
#include <sanitizer/asan_interface.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "boot_params.h"
#include "core.h"
#include "xen.h"

#define RAM_START	0x10000		/* no system forbids more */
#define RAM_END		0x40000000
#define PAGE		4096
#define MAX_REGIONS	512
#define MAX_REACHED	64

enum { DECODED, STOPPED };

struct question {
	u32 way, regions, xen, xen_records;
	u64 address;
} PACKED;

struct answer {
	u32 status, modules, records, line, node;
} PACKED;

static struct range regions[MAX_REGIONS], reached[MAX_REACHED];
static u32 region_count, reached_count;
static struct e820_entry xen_map[MAX_MAP];
static struct question question;
static u8 low[RAM_START];	/* what lies below RAM_START, at another address */
static char message[512];
static jmp_buf back;

/* As bytes.c, but seen by the sanitizers. */
void *memcpy(void *to, const void *from, unsigned long size)
{
	for (unsigned long i = 0; i < size; i++)
		((u8 *)to)[i] = ((const u8 *)from)[i];
	return to;
}

void *memset(void *to, int byte, unsigned long size)
{
	for (unsigned long i = 0; i < size; i++)
		((u8 *)to)[i] = byte;
	return to;
}

int memcmp(const void *one, const void *other, unsigned long size)
{
	for (unsigned long i = 0; i < size; i++)
		if (((const u8 *)one)[i] != ((const u8 *)other)[i])
			return ((const u8 *)one)[i] - ((const u8 *)other)[i];
	return 0;
}

static void read_all(void *to, u64 size)
{
	if (size && fread(to, size, 1, stdin) != 1)
		exit(feof(stdin) ? 0 : 2);
}

static void write_all(const void *from, u64 size)
{
	if (size && fwrite(from, size, 1, stdout) != 1)
		exit(2);
}

void stop(const char *what, u64 found, const char *needed)
{
	snprintf(message, sizeof(message), "%s: %#llx, %s needed", what, found, needed);
	longjmp(back, 1);
}

void stop_text(const char *what, const char *needed)
{
	snprintf(message, sizeof(message), "%s: %s needed", what, needed);
	longjmp(back, 1);
}

/* What of a region is at an address and behind it; 0 where there is none. */
static u64 left(u64 address)
{
	for (u32 i = 0; i < region_count; i++)
		if (regions[i].start <= address && address < regions[i].start + regions[i].size)
			return regions[i].start + regions[i].size - address;
	return 0;
}

void *reach(u64 address, u64 size, const char *what)
{
	if (!size)
		return (void *)address;
	if (address + size < address)
		stop(what, address, "no wrapping");
	if (address + size <= RAM_START)
		return low + address;
	if (size > left(address))
		stop(what, address, "memory");
	if (reached_count == MAX_REACHED)
		exit(3);
	reached[reached_count++] = (struct range){ address, size };
	__asan_unpoison_memory_region((void *)address, size);
	return (void *)address;
}

u64 reach_string(u64 address, u64 most, const char *what)
{
	const u64 size = left(address);
	const char *text = reach(address, size, what);

	for (u64 i = 0; i < size && i <= most; i++)
		if (!text[i]) {
			reached_count--;
			__asan_poison_memory_region(text, size);
			for (u32 j = 0; j < reached_count; j++)	/* a string may lie in what was reached */
				__asan_unpoison_memory_region((void *)reached[j].start, reached[j].size);
			reach(address, i + 1, what);
			return i;
		}
	stop(what, address, "a NUL");
}

void leave_efi(struct handed *handed, u64 handle, u64 table)
{
	(void)handed;
	snprintf(message, sizeof(message), "EFI handle %#llx, table %#llx", handle, table);
	longjmp(back, 1);
}

bool on_xen(void)
{
	return question.xen;
}

u32 xen_memory_map(struct e820_entry *to, u32 most)
{
	if (question.xen_records > most)
		return 0;
	memcpy(to, xen_map, question.xen_records * sizeof(*to));
	return question.xen_records;
}

static void take(void)
{
	read_all(&question, sizeof(question));
	if (question.regions > MAX_REGIONS || question.xen_records > MAX_MAP)
		exit(6);
	region_count = question.regions;
	read_all(xen_map, question.xen_records * sizeof(*xen_map));
	memset(low, 0, sizeof(low));	/* as the other questions never were */
	for (u32 i = 0; i < region_count; i++) {
		read_all(&regions[i], sizeof(*regions));
		u8 *to = regions[i].start < RAM_START ? low + regions[i].start : (u8 *)regions[i].start;

		__asan_unpoison_memory_region(to, regions[i].size);
		read_all(to, regions[i].size);
		if (to == (u8 *)regions[i].start)
			__asan_poison_memory_region(to, regions[i].size);
	}
}

static void decode(void)
{
	memset(&handed, 0, sizeof(handed));
	begin_handed();
	memset(handed.zero_page, 0, PAGE);
	if (question.way == 0)
		from_pvh(&handed, question.address);
	else if (question.way == 1)
		from_multiboot1(&handed, question.address);
	else
		from_multiboot2(&handed, question.address);
}

static void tell(void)
{
	const u64 first = *(u64 *)(handed.zero_page + SETUP_DATA);
	const u64 rsdp = *(u64 *)(handed.zero_page + ACPI_RSDP_ADDR);
	struct answer answer = {
		DECODED, handed.module_count, handed.map_count, handed.command_line_size, 0,
	};

	if (first)
		answer.node = 16 + *(u32 *)(first + 12);
	if (rsdp && first && rsdp != first + 16)
		exit(4);
	write_all(&answer, sizeof(answer));
	write_all(handed.zero_page, PAGE);
	write_all(handed.modules, answer.modules * sizeof(*handed.modules));
	write_all(handed.map, answer.records * sizeof(*handed.map));
	write_all((void *)handed.command_line, answer.line);
	write_all((void *)first, answer.node);
}

int main(void)
{
	void *ram = mmap((void *)RAM_START, RAM_END - RAM_START, PROT_READ | PROT_WRITE,
			 MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ram != (void *)RAM_START)
		return 5;
	for (;;) {
		take();
		if (!setjmp(back)) {
			decode();
			tell();
		} else {
			struct answer answer = { .status = STOPPED, .line = 0 };

			while (message[answer.line])
				answer.line++;
			write_all(&answer, sizeof(answer));
			write_all(message, answer.line);
		}
		fflush(stdout);
		while (reached_count) {
			reached_count--;
			__asan_poison_memory_region((void *)reached[reached_count].start,
						    reached[reached_count].size);
		}
	}
}
