/*
 * EFI: a PE image, the handover protocol, multiboot2 with boot services. UEFI specification 2.10;
 * Linux, Documentation/arch/x86/boot.rst and drivers/firmware/efi/libstub, for what Linux expects.
 */
#include "boot_params.h"
#include "core.h"
#include "efi.h"
#include "magics.h"

#define SECURE_BOOT		0x1ec
#define ALT_MEM			0x8000		/* KiB, as Linux's EFI stub writes it; nobody reads it */
#define LOADER			0x21		/* the same */
#define XLF_EFI_HANDOVER_32	4	/* a 64-bit kernel that can call 32-bit runtime services has it */
#define SLACK			32	/* descriptors: allocating the map's buffer changes the map */
#define LEAVE_TRIES		4

static const struct guid loaded_image_guid = {
	0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b }
};
static const struct guid acpi_guids[] = {	/* the better one first */
	{ 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81 } },
	{ 0xeb9d2d30, 0x2d88, 0x11d3, { 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d } },
};
static const struct guid global_guid = {
	0x8be4df61, 0x93ca, 0x11d2, { 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c }
};
static const struct guid shim_guid = {
	0x605dab50, 0xe046, 0x4300, { 0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23 }
};

/* Whether the kernel can call the firmware. A 32-bit one on 64-bit firmware does without it. */
static void check_kernel(void)
{
	u32 flags = *wrapped(XLOADFLAGS);

	if (efi.width == 4 && !kernel_is_32() && !(flags & XLF_EFI_HANDOVER_32))
		stop("xloadflags", flags, "EFI mixed mode or a 32-bit kernel on 32-bit firmware is");
}

static void find_command_line(struct handed *handed, u64 image)
{
	u64 size = *(u32 *)reach(image + 6 * efi.width, 4, "load options"), room, line = 0;
	u64 options = efi_word(image, IMAGE_OPTIONS), built_in = params()->command_line_size;

	if (!options || !size)
		return;
	room = params()->command_line_max;
	if (built_in)
		room = built_in < room ? room - built_in - 1 : 0;
	if (efi_boot(ALLOCATE_POOL, LOADER_DATA, room + 1, (u64)&line, 0, 0))
		stop("command line", room, "as many bytes of free RAM are");
	efi.line = line;
	size = utf16_to_utf8(reach(options, size, "load options"), size / sizeof(char16),
			     reach(line, room, "command line"), room);
	if (size > room)
		stop("command line", size, "no more bytes than the kernel takes are");
	handed->command_line = line;
	handed->command_line_size = size;
}

static u64 find_rsdp(void)
{
	u64 count = efi_word(efi.table, SYSTEM_COUNT), all = efi_word(efi.table, SYSTEM_CONFIGURATION);
	u32 step = sizeof(struct guid) + efi.width;

	for (u32 which = 0; which < 2; which++)
		for (u64 i = 0; i < count; i++)
			if (!memcmp(reach(all + i * step, step, "configuration table"), &acpi_guids[which],
				    sizeof(struct guid)))
				return efi_word(all + i * step, sizeof(struct guid), 0);
	return 0;
}

static u64 get_byte(const char16 *name, const struct guid *guid, u32 *attributes, u8 *byte)
{
	u64 size = 1, runtime = efi_word(efi.table, SYSTEM_RUNTIME);

	return efi_call(efi_word(runtime, RUNTIME_GET_VARIABLE), (u64)name, (u64)guid, (u64)attributes,
			(u64)&size, (u64)byte);
}

/* As efi_get_secureboot() of Linux. */
static u8 secure_boot(void)
{
	enum { UNKNOWN = 1, OFF, ON };
	u8 secure = 0, setup = 0, shim = 0;
	u32 attributes = 0;
	u64 status;

	status = get_byte(u"SecureBoot", &global_guid, 0, &secure);
	if (!status)
		status = get_byte(u"SetupMode", &global_guid, 0, &setup);
	if (status)
		return status == EFI_NOT_FOUND ? OFF : UNKNOWN;
	if (!secure || setup == 1)
		return OFF;
	/* The shim's own switch, unless somebody else could have written it. */
	status = get_byte(u"MokSBStateRT", &shim_guid, &attributes, &shim);
	return !status && !(attributes & 1) && shim == 1 ? OFF : ON;
}

static void put_map(struct handed *handed, u64 map, u64 size, u64 step, u32 version, bool own_image)
{
	struct efi_info *info = (struct efi_info *)(handed->zero_page + EFI_INFO);
	const struct params *p = params();
	struct range own = { (u64)_start + p->image_offset, p->image_size };
	u64 kernel = (u64)_start + p->kernel_offset;

	info->signature = efi.width == 4 ? EL32 : EL64;
	info->systab = efi.table;
	info->systab_hi = efi.table >> 32;
	info->memdesc_size = step;
	info->memdesc_version = version;
	info->memmap = map;
	info->memmap_hi = map >> 32;
	info->memmap_size = size;
	/* Who allocated the image where its kernel can run did so for its window too, behind the file. */
	if (p->flags & PARAMS_RELOCATABLE ? !(kernel & (p->kernel_align - 1)) && kernel >= p->kernel_address :
					    kernel == p->kernel_address)
		own.size = kernel + p->kernel_memory - own.start;
	/* A PE image is loader code, which is free; it may be larger or smaller than other ways have it. */
	if (!own_image)
		own.size = 0;
	keep(handed, map, size);	/* whatever lies there was said to be ours */
	add_efi_map(handed, reach(map, size, "memory map"), size, step, own);
}

/* Nothing may change the map between the two calls; a timer may do it all the same. Then once more. */
static void leave(struct handed *handed, bool own_image)
{
	u64 size = 0, room, map = 0, key = 0, step = 0, status = EFI_SUCCESS;
	u32 version = 0, tries = 0;
	struct placed unused;

	efi_boot(GET_MEMORY_MAP, (u64)&size, 0, (u64)&key, (u64)&step, (u64)&version);
	check_descriptors(step);
	room = size + SLACK * step;
	if (efi_boot(ALLOCATE_POOL, LOADER_DATA, room, (u64)&map, 0, 0))
		stop("memory map", room, "as many bytes of free RAM are");
	efi.map = map;
	for (; tries < LEAVE_TRIES; tries++) {
		size = room;
		status = efi_boot(GET_MEMORY_MAP, (u64)&size, map, (u64)&key, (u64)&step, (u64)&version);
		if (status)
			break;
		handed->map_count = handed->kept_count = 0;
		put_map(handed, map, size, step, version, own_image);
		keep_setup_data(handed);
		/* What has no place is said while the firmware shows it, and can start something else. */
		if (!tries)
			choose_places(&unused);
		status = efi_boot(EXIT_BOOT_SERVICES, efi.handle, key, 0, 0, 0);
		if (!status) {
			asm volatile("cli");	/* nobody handles interrupts any more */
			efi.boot = 0;
			return;
		}
		efi.leaving = true;	/* even so: there is nothing to go back to */
	}
	stop("exit boot services", status, "success is");
}

/* What the firmware knows whoever started us. */
static void ask(struct handed *handed, bool own_image)
{
	put64(handed, ACPI_RSDP_ADDR, find_rsdp());
	put32(handed, ALT_MEM_K, ALT_MEM);
	handed->zero_page[SECURE_BOOT] = secure_boot();
	memset(handed->zero_page, 0, sizeof(struct screen_info));
	find_screen(handed);
	leave(handed, own_image);
}

void leave_efi(struct handed *handed, u64 image_handle, u64 system_table)
{
	efi_begin(image_handle, system_table);
	check_kernel();
	ask(handed, true);
}

void from_efi(struct handed *handed, u64 image_handle, u64 system_table, u64 zero_page)
{
	u64 image = 0;

	handed->way = "efi";
	efi_begin(image_handle, system_table);
	efi.called = !zero_page;
	check_kernel();
	if (zero_page) {
		from_linux_page(handed, zero_page);
		efi.others = handed->module_count;
		read_setup_data(handed);	/* of memory the firmware knows better */
	} else {
		image = efi_protocol(image_handle, &loaded_image_guid);
		if (!image)
			stop("image handle", image_handle, "one of a loaded image is");
		find_command_line(handed, image);
		handed->zero_page[TYPE_OF_LOADER] = LOADER;
	}
	find_initrd(handed, image);
	ask(handed, zero_page);
}
