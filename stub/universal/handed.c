/* What the decoders fill in. */
#include "core.h"

static u8 zero_page[4096] __attribute__((section(".bss.pages"), aligned(4096)));
static struct e820_entry map[MAX_MAP] __attribute__((aligned(16)));

struct handed handed;

void begin_handed(void)
{
	handed.zero_page = zero_page;
	handed.map = map;
}

void add_map(struct handed *handed, u64 start, u64 size, u32 type)
{
	struct e820_entry *entry = &handed->map[handed->map_count];

	if (handed->map_count == MAX_MAP)
		stop("memory map", MAX_MAP + 1, "no more entries than 0x400 are");
	if (size && start + size - 1 < start)
		stop("memory map", start, "an entry that does not wrap around is");
	handed->map_count++;
	entry->start = start;
	entry->size = size;
	entry->type = type;
}

void add_module(struct handed *handed, u64 start, u64 size)
{
	struct range *module = &handed->modules[handed->module_count];

	if (handed->module_count == MAX_MODULES)
		stop("modules", MAX_MODULES + 1, "no more than 0x40 are");
	if (size && start + size - 1 < start)
		stop("module", start, "one that does not wrap around is");
	handed->module_count++;
	module->start = start;
	module->size = size;
}

void keep(struct handed *handed, u64 start, u64 size)
{
	struct range *kept = &handed->kept[handed->kept_count];

	if (handed->kept_count == MAX_KEPT)
		stop("setup_data", MAX_KEPT + 1, "no more than 0x40 nodes are");
	handed->kept_count++;
	kept->start = start;
	kept->size = size;
}

/* Linux divides by the size early. What is behind the last whole descriptor it leaves alone, as we do. */
void check_descriptors(u64 step)
{
	if (step < 0x28 || step > 0x1000)
		stop("memory map", step, "descriptors of 0x28 to 0x1000 bytes are");
}
