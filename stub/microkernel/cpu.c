/* The processor: our own tables, traps, and the entry state against the ABI's document. */
#include "microkernel.h"

#define CR0_PE (1u << 0)
#define CR0_ET (1u << 4)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)
#define RFLAGS_VM (1u << 17)

#define PRESENT 0x001u
#define WRITABLE 0x002u
#define LARGE 0x080u
#define ADDRESS 0x000ffffffffff000u

#ifdef __x86_64__
struct gate {
	u16 offset0, selector, type, offset1;
	u32 offset2, reserved;
};

struct frame {
	u64 vector, error, ip;
};
#else
struct gate {
	u16 offset0, selector, type, offset1;
};

struct frame {
	u32 vector, error, ip;
};
#endif

static struct gate idt[32];

static void load(const char *what, const void *base, u16 limit)
{
	struct {
		u16 limit;
		uintptr_t base;
	} __attribute__((packed)) table = { limit, (uintptr_t)base };

	if (*what == 'g')
		asm volatile("lgdt %0" : : "m"(table));
	else
		asm volatile("lidt %0" : : "m"(table));
}

#ifdef __x86_64__
static void load_segments(u64 code, u64 data)
{
	asm volatile("pushq %0\n\t"
		     "leaq 1f(%%rip), %%rax\n\t"
		     "pushq %%rax\n\t"
		     "lretq\n"
		     "1:\tmovl %k1, %%ds\n\t"
		     "movl %k1, %%es\n\t"
		     "movl %k1, %%ss"
		     :
		     : "r"(code), "r"(data)
		     : "rax", "memory");
}
#endif

/* 32-bit entry code has loaded our GDT already. */
void own_tables(void)
{
#ifdef __x86_64__
	const u16 code = CODE64;

	load("gdt", gdt, GDT_LIMIT);
	load_segments(CODE64, DATA);
#else
	const u16 code = CODE32;
#endif
	for (u32 i = 0; i < LENGTH(idt); i++) {
		const u64 stub = (uintptr_t)trap_stubs + 16 * i;

		idt[i].offset0 = stub;
		idt[i].selector = code;
		idt[i].type = 0x8e00;	/* present, interrupt gate */
		idt[i].offset1 = stub >> 16;
#ifdef __x86_64__
		idt[i].offset2 = stub >> 32;
#endif
	}
	load("idt", idt, sizeof(idt) - 1);
}

void trap(const struct frame *frame);

void trap(const struct frame *frame)
{
	uintptr_t cr2;

	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	say_trap(&entry_state, frame->vector, frame->ip, frame->error, cr2);
	leave(EXIT_TRAP);
}

/* The loader's page tables map what they must, and nobody knows what else: ours map all. */
void own_pages(const struct entry_state *state)
{
#ifdef __x86_64__
	extern u64 pml4[], pdpt[], identity[] __attribute__((visibility("hidden")));

	if (state->abi != LINUX64 || state->cr4 & CR4_LA57)
		return;
	pml4[0] = (uintptr_t)pdpt | PRESENT | WRITABLE;
	for (u32 i = 0; i < GIGABYTES; i++)
		pdpt[i] = ((uintptr_t)identity + 0x1000 * i) | PRESENT | WRITABLE;
	asm volatile("mov %0, %%cr3" : : "r"(pml4) : "memory");
#else
	(void)state;
#endif
}

/* The size of the page that maps `address` to itself for writing by the loader's tables, or 0. */
static u64 mapped(u64 cr3, u64 address)
{
	u64 table = cr3 & ADDRESS;

	for (u32 shift = 39; shift >= 12; shift -= 9) {
		const u64 *entries = physical(table, 4096);
		u64 entry = entries ? entries[address >> shift & 511] : 0;
		u64 size = (u64)1 << shift;

		if ((entry & (PRESENT | WRITABLE)) != (PRESENT | WRITABLE))
			return 0;
		if (shift == 12 || (shift < 39 && entry & LARGE))
			return (entry & ADDRESS & ~(size - 1)) == (address & ~(size - 1)) ? size : 0;
		table = entry & ADDRESS;
	}
	return 0;
}

void check_mapped(const struct entry_state *state, const char *check, u64 start, u64 size)
{
	for (u64 at = start; at < start + size;) {
		u64 page = mapped(state->cr3, at);

		if (!page) {
			fail(check);
			return;
		}
		at = (at & ~(page - 1)) + page;
	}
}

/* Protected mode without paging, interrupts off: what all 32-bit entries have in common. */
static void check_protected(const struct entry_state *state)
{
	static const char names[6][4] = { "cs", "ds", "es", "ss", "fs", "gs" };

	for (u32 i = 0; i < LENGTH(names); i++)
		if (state->failed & 1u << i)
			fail(names[i]);
	if (!(state->cr0 & CR0_PE))
		fail("cr0-pe");
	if (state->cr0 & CR0_PG)
		fail("cr0-pg");
	if (state->rflags & RFLAGS_VM)
		fail("rflags-vm");
}

static void check_a20(void)
{
	static volatile u32 word;
	const volatile u32 *other = (const volatile u32 *)((uintptr_t)&word ^ 1 << 20);
	u32 before;

	word = 0x12345678;
	before = *other;
	word = 0x87654321;
	if (before == 0x12345678 && *other == 0x87654321)
		fail("a20");
}

/* boot.rst, "Running the kernel": DS = ES = SS = the image, SP at the heap's top, IF = 0. */
static void check_linux16(const struct entry_state *state)
{
	const u64 segment = state->cs - 0x20;
	const u64 sp = state->general[RSP] & 0xffff;

	if (state->cr0 & CR0_PE)
		fail("cr0-pe");
	if (state->ds != segment)
		fail("ds");
	if (state->es != segment)
		fail("es");
	if (state->ss != segment)
		fail("ss");
	if (sp && sp < 0x2000)		/* within the 16 sectors of our setup code */
		fail("sp");
}

/* boot.rst, "32-bit Boot Protocol". */
static void check_linux32(const struct entry_state *state)
{
	check_protected(state);
	if (state->cs != 0x10)
		fail("cs");
	if (state->ds != 0x18)
		fail("ds");
	if (state->es != 0x18)
		fail("es");
	if (state->ss != 0x18)
		fail("ss");
	if (state->general[RBX])
		fail("ebx");
	if (state->general[RBP])
		fail("ebp");
	if (state->general[RDI])
		fail("edi");
	if (state->failed & FAILED_GDT)
		fail("gdt");
}

#ifdef __x86_64__
/* As the 32-bit entry's own check: read the descriptors, and if they are right load them. */
static bool linux_gdt(const struct entry_state *state)
{
	const u64 unsaid = 0x0010010000000000;	/* accessed, and available to software */
	const u64 *entries = (const u64 *)state->gdtr.base;

	/* The limit and the D bit of 64-bit code mean nothing (SDM volume 3, 3.4.5). */
	if (state->gdtr.limit < 0x1f || (entries[2] & 0x0060fe0000000000) != 0x00209a0000000000 ||
	    (entries[3] & ~unsaid) != 0x00cf92000000ffff)
		return false;
	load("gdt", entries, state->gdtr.limit);
	load_segments(0x10, 0x18);
	load("gdt", gdt, GDT_LIMIT);
	load_segments(CODE64, DATA);
	return true;
}

/* boot.rst, "64-bit Boot Protocol"; what is mapped is looked at in linux.c. */
static void check_linux64(const struct entry_state *state)
{
	if (!(state->cr0 & CR0_PE) || !(state->cr0 & CR0_PG))
		fail("cr0");
	if (!(state->cr4 & CR4_PAE))
		fail("cr4-pae");
	if (state->cr4 & CR4_LA57)
		fail("cr4-la57");	/* our xloadflags do not know it */
	if ((state->efer & (EFER_LME | EFER_LMA)) != (EFER_LME | EFER_LMA))
		fail("efer");
	if (state->cs != 0x10)
		fail("cs");
	if (state->ds != 0x18)
		fail("ds");
	if (state->es != 0x18)
		fail("es");
	if (state->ss != 0x18)
		fail("ss");
	if (!linux_gdt(state))
		fail("gdt");
}
#endif

/* xen/docs/misc/pvh.pandoc. */
static void check_pvh(const struct entry_state *state)
{
	check_protected(state);
	if (state->cr0 & ~(u64)(CR0_PE | CR0_ET))	/* ET cannot be written */
		fail("cr0");
	if (state->cr4)
		fail("cr4");
	if (state->rflags & RFLAGS_TF)
		fail("rflags-tf");
}

void check_cpu(const struct entry_state *state)
{
	if (state->rflags & RFLAGS_IF)
		fail("rflags-if");
	if (state->abi != LINUX16)
		check_a20();
	switch (state->abi) {
	case LINUX16:
		check_linux16(state);
		check_a20();		/* which our setup code has switched on */
		break;
	case LINUX32:
		check_linux32(state);
		break;
#ifdef __x86_64__
	case LINUX64:
		check_linux64(state);
		break;
#endif
	case PVH:
		check_pvh(state);
		break;
	case MULTIBOOT1:	/* 0.6.96, 3.2 Machine state */
		check_protected(state);
		if ((u32)state->general[RAX] != 0x2badb002)
			fail("eax");
		break;
	case MULTIBOOT2:	/* 2.0, 3.3 I386 machine state */
		check_protected(state);
		if ((u32)state->general[RAX] != 0x36d76289)
			fail("eax");
		break;
	}
}

/* linux16: the state that counts is the one before our setup code, which also made the zero page. */
void read_setup_state(struct entry_state *state)
{
	const u64 page = state->page;
	const u8 *saved = physical(state->setup, STATE_SIZE + 4);
	const u32 failed = state->failed;

	if (!saved)
		return;
	memcpy(state, saved, STATE_SIZE);
	state->abi = LINUX16;
	state->failed = failed;
	state->page = page;
	add_fact("base_memory", *(const u32 *)(saved + STATE_SIZE));
}
