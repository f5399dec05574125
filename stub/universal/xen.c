/*
 * Xen, as a guest in a hardware container sees it: xen/include/public/arch-x86/cpuid.h, memory.h.
 *
 * The hypercall is made by the processor's own instruction, as Linux does since 6.13: the page that
 * Xen would fill in for it holds the same instruction, and would need memory.
 */
#include "xen.h"

#define LEAVES			0x40000000
#define LEAVES_STEP		0x100
#define LEAVES_TRIED		4	/* the second, if Xen shows Microsoft's first */
#define HYPERVISOR_PRESENT	(1u << 31)
#define MEMORY_OP		12
#define XENMEM_MEMORY_MAP	9

struct memory_map {
	u32 nr_entries, padding;
	u64 buffer;
};

static void cpuid(u32 leaf, u32 words[4])
{
	asm volatile("cpuid"
		     : "=a"(words[0]), "=b"(words[1]), "=c"(words[2]), "=d"(words[3])
		     : "a"(leaf), "c"(0));
}

bool on_xen(void)
{
	u32 words[4];

	cpuid(1, words);
	if (!(words[2] & HYPERVISOR_PRESENT))
		return false;
	for (u32 i = 0; i < LEAVES_TRIED; i++) {
		cpuid(LEAVES + i * LEAVES_STEP, words);
		if (!memcmp(words + 1, "XenVMMXenVMM", 12))
			return true;
	}
	return false;
}

/* 64-bit calls: the number in RAX, arguments in RDI and RSI, the result in RAX. */
static long memory_op(long op, void *argument)
{
	long result = MEMORY_OP;
	u32 vendor[4];

	cpuid(0, vendor);
	if (!memcmp(vendor + 1, "Auth", 4) || !memcmp(vendor + 1, "Hygo", 4))
		asm volatile("vmmcall" : "+a"(result), "+D"(op), "+S"(argument) : : "memory");
	else
		asm volatile("vmcall" : "+a"(result), "+D"(op), "+S"(argument) : : "memory");
	return result;
}

u32 xen_memory_map(struct e820_entry *map, u32 most)
{
	struct memory_map argument = { most, 0, (u64)map };

	if (memory_op(XENMEM_MEMORY_MAP, &argument))
		return 0;
	return argument.nr_entries <= most ? argument.nr_entries : 0;
}
