/*
 * The ACPI root pointer that multiboot2 hands over as a copy, in memory that the kernel takes for
 * its own. Where the BIOS keeps it (ACPI 6.5, 5.2.5.1) the original is looked for. If it is not
 * there the copy goes into a node of setup_data, which the kernel leaves alone; its type is
 * SETUP_NONE, which the kernel takes no notice of.
 */
#include "multiboot.h"

#define SETUP_NONE		0
#define EBDA_SEGMENT		0x40e
#define EBDA_SIZE		0x400
#define BIOS_START		0xe0000
#define BIOS_END		0x100000
#define STEP			16
#define RSDP_ROOM		64

static struct {
	struct setup_data head;
	u8 rsdp[RSDP_ROOM];
} node;

static u64 find(u64 start, u64 size, const u8 *copy, u32 length)
{
	const u8 *bytes = reach(start, size, "RSDP");

	for (u64 at = 0; at + length <= size; at += STEP)
		if (!memcmp(bytes + at, copy, length))
			return start + at;
	return 0;
}

static u64 find_original(const u8 *copy, u32 length)
{
	u16 segment;
	u64 found = 0;

	__builtin_memcpy(&segment, reach(EBDA_SEGMENT, sizeof(segment), "RSDP"), sizeof(segment));
	if (segment)
		found = find((u64)segment << 4, EBDA_SIZE, copy, length);
	return found ? found : find(BIOS_START, BIOS_END - BIOS_START, copy, length);
}

void set_rsdp(struct handed *handed, const u8 *copy, u32 size)
{
	u64 found;

	if (memcmp(copy, "RSD PTR ", 8))
		stop_text("RSDP signature", "not \"RSD PTR \", which is");
	if (size > RSDP_ROOM)
		stop("RSDP size", size, "at most 0x40");
	found = find_original(copy, size);
	if (!found) {
		memcpy(node.rsdp, copy, size);
		node.head.type = SETUP_NONE;
		node.head.len = size;
		__builtin_memcpy(&node.head.next, handed->zero_page + SETUP_DATA, 8);
		put64(handed, SETUP_DATA, (u64)&node);
		found = (u64)node.rsdp;
	}
	put64(handed, ACPI_RSDP_ADDR, found);
}
