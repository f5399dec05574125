/*
 * The order of things, once there are a stack, exceptions that are caught, and 64-bit mode: who
 * started us, what was told, where all goes, and in.
 */
#include "core.h"
#include "boot_params.h"
#include "efi.h"
#include "magics.h"

#define PVH_MAGIC		0x336ec578
#define MULTIBOOT1_MAGIC	0x2badb002
#define MULTIBOOT2_MAGIC	0x36d76289
#define DOS_MAGIC		0x5a4d			/* "MZ" */

struct entered entered;

_Static_assert(__builtin_offsetof(struct entered, r8) == ENTERED_R8, "core.h");
_Static_assert(__builtin_offsetof(struct entered, rflags) == ENTERED_RFLAGS, "core.h");
_Static_assert(__builtin_offsetof(struct entered, bits) == ENTERED_BITS, "core.h");
_Static_assert(__builtin_offsetof(struct entered, idtr) == ENTERED_IDTR, "core.h");

/* What is at an address that may be anything: may_reach() maps it, so that reading it cannot fault. */
static bool is_at(u64 address, u64 magic, u64 size)
{
	const void *there = may_reach(address, size);

	return there && !memcmp(there, &magic, size);
}

/*
 * By Linux's header. The file's first sectors have it too, and a firmware's registers or stack often
 * point to them: they are one if a loader copied them, as GRUB's linuxefi does, and says who it is.
 */
static bool is_zero_page(u64 address)
{
	return is_at(address + HEADER_MAGIC, HDRS, 4) &&
	       (!is_at(address, DOS_MAGIC, 2) || !is_at(address + TYPE_OF_LOADER, 0, 1));
}

/*
 * EFI's system table, by which a start by the firmware is known. A loader may leave its address in the
 * register all the same: then boot services are gone, and a zero page is where Linux's protocol has it.
 */
static bool is_system_table(u64 address)
{
	const u8 *table = may_reach(address, TABLE_HEADER + 10 * sizeof(u64));
	u64 boot;

	if (!table || *(u64 *)table != EFI_SYSTEM_TABLE)
		return false;
	table += TABLE_HEADER + 9 * entered.bits / 8;
	boot = entered.bits == 64 ? *(u64 *)table : *(u32 *)table;
	return is_at(boot, EFI_BOOT_SERVICES, 8) || !is_zero_page(entered.rsi);
}

static bool by_linux;

static bool decode_linux(const char *way)
{
	if (!is_zero_page(entered.rsi))
		return false;
	handed.way = way;
	by_linux = true;
	from_linux(&handed, entered.rsi);
	return true;
}

/* cdecl: where to return to, the handle, the system table and, in a handover, the zero page. */
static bool decode_efi32(void)
{
	const u32 *stack = may_reach(entered.rsp, 16);

	if (!stack || !is_system_table(stack[2]))
		return false;
	entered.handover = is_zero_page(stack[3]);
	from_efi(&handed, stack[1], stack[2], entered.handover ? stack[3] : 0);
	return true;
}

/*
 * The order matters: PVH's loaders may leave multiboot's magic in EAX, and firmware anything in ESI,
 * while Linux's own loaders need not have read that the other registers are zero.
 */
static bool decode32(void)
{
	bool zeros = !entered.rbx && !entered.rbp && !entered.rdi;

	if (!(entered.rbx & 3) && is_at(entered.rbx, PVH_MAGIC, 4))
		from_pvh(&handed, entered.rbx);
	else if (entered.rax == MULTIBOOT1_MAGIC)
		from_multiboot1(&handed, entered.rbx);
	else if (entered.rax == MULTIBOOT2_MAGIC)
		from_multiboot2(&handed, entered.rbx);
	else
		return (zeros && decode_linux("linux32")) || decode_efi32() || decode_linux("linux32");
	return true;
}

/* The firmware's page tables, interrupts and stack, for as long as it is asked. */
static void ask_firmware(void (*decode)(struct handed *, u64, u64, u64), u64 one, u64 two, u64 three)
{
	their_state(&entered);
	call_theirs(&handed, one, two, three, decode);
	own_exceptions();
	own_pages();
}

static void from_multiboot2_efi(struct handed *handed, u64 info, u64 unused1, u64 unused2)
{
	(void)unused1;
	(void)unused2;
	from_multiboot2(handed, info);
}

static bool decode64(void)
{
	if ((u32)entered.rax == MULTIBOOT2_MAGIC) {
		ask_firmware(from_multiboot2_efi, (u32)entered.rbx, 0, 0);	/* the rest is undefined */
	} else if (is_system_table(entered.rdx)) {
		ask_firmware(from_efi, entered.rcx, entered.rdx, 0);
	} else if (is_system_table(entered.rsi)) {
		entered.handover = true;
		ask_firmware(from_efi, entered.rdi, entered.rsi, entered.rdx);
	} else {
		return decode_linux("linux64");
	}
	return true;
}

static void check_image(void)
{
	const struct params *image = params();

	if (image->magic != PARAMS_MAGIC || image->version != PARAMS_VERSION)
		stop("image", image->magic, "what \"hvmlite wrap\" writes is");
}

static struct placed placed;

static void NORETURN enter(void)
{
	u64 entry = placed.kernel + params()->kernel_entry, page;

	move_kernel(&placed);
	complete_zero_page(&placed);
	page = (u64)handed.zero_page;
	if (kernel_is_32())
		enter32(entry, page);
	if (has_five_levels() && !kernel_takes_five_levels())
		enter64_four_levels(entry, page, four_levels());
	enter64(entry, page);
}

static void follow(u64 *address, u64 from)
{
	if (*address - from < SCRATCH_END)
		*address += (u64)_start - from;
}

/* Of what is in scratch memory only this was told anybody its address. */
void start_copy(u64 from)
{
	begin_handed();
	follow((u64 *)(handed.zero_page + SETUP_DATA), from);
	follow((u64 *)(handed.zero_page + ACPI_RSDP_ADDR), from);
	move_tables(from);
	own_segments();
	enter();
}

void start(void)
{
	bool known;

	if (entered.bits == 64)
		own_exceptions();
	else
		own_segments();
	begin_handed();
	check_image();
	if (entered.bits == 64)
		own_pages();
	known = entered.bits == 64 ? decode64() : decode32();
	if (!known)
		stop_text("start", "the registers of a boot protocol are");
	if (entered.bits == 64)
		own_segments();
	placed.zeroed = !by_linux && !entered.handover;
	place(&placed);
	may_reach(0, LOW);	/* Linux keeps a trampoline there for 5-level paging */
	if (placed.copy)
		go_on_in_copy((u64)reach(placed.copy, SCRATCH_END, "stub"));
	enter();
}
