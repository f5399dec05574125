/*
 * Calls of the firmware, and the way back to it. As long as boot services are there the end of a start
 * that cannot go on is a line on the firmware's console too, and the end of this application: the
 * firmware goes on with whatever it would start next. That is what stop() does by efi_say() and
 * efi_exit(). A PE image returns to its caller, which may be no StartImage(): systemd-boot calls
 * .compat's entry itself.
 */
#include "efi.h"
#include "magics.h"

#define LOAD_ERROR		1
#define LINE			200

struct efi efi;

u64 efi_word(u64 base, u32 bytes, u32 words)
{
	const u64 *at = reach(base + bytes + words * efi.width, sizeof(*at), "firmware's table");

	return efi.width == sizeof(*at) ? *at : (u32)*at;
}

u64 efi_boot(u32 service, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	return efi_call(efi_word(efi.boot, TABLE_HEADER, service), a, b, c, d, e);
}

u64 efi_protocol(u64 handle, const struct guid *guid)
{
	u64 found = 0;

	return efi_boot(HANDLE_PROTOCOL, handle, (u64)guid, (u64)&found, 0, 0) ? 0 : found;
}

static void check_header(u64 table, u64 signature, u32 size, const char *what)
{
	const u64 *header = reach(table, TABLE_HEADER, what);

	if (header[0] != signature)
		stop(what, header[0], "its signature is");
	if (((u32 *)header)[3] < size)
		stop(what, ((u32 *)header)[3], "a larger size is");
}

void efi_begin(u64 image_handle, u64 system_table)
{
	u64 boot;

	efi.width = entered.bits / 8;
	efi.others = handed.module_count;
	efi.handle = image_handle;
	efi.table = system_table;
	check_header(system_table, EFI_SYSTEM_TABLE, TABLE_HEADER + 12 * efi.width, "system table");
	boot = efi_word(system_table, SYSTEM_BOOT);
	check_header(boot, EFI_BOOT_SERVICES, TABLE_HEADER + (LOCATE_HANDLE_BUFFER + 1) * efi.width,
		     "boot services");
	efi.boot = boot;
	efi.console = efi_word(system_table, SYSTEM_OUT);
}

/* Line by line: what the firmware's console writes may go to the port to which say() writes. */
void efi_say(const char *text)
{
	static char16 line[LINE];
	static u32 size;

	if (!efi.boot || efi.leaving || !efi.console)
		return;
	for (; *text; text++) {
		if (size < LINE - 3)
			line[size++] = *text;
		if (*text != '\n')
			continue;
		line[size] = 0;
		size = 0;
		efi_call(efi_word(efi.console, OUT_OUTPUT_STRING), efi.console, (u64)line, 0, 0, 0);
	}
}

/* Loader data stays allocated when an application ends, and an initrd may be large. */
static void free_pages(const struct range *module)
{
	u64 pages = (module->size + EFI_PAGE - 1) / EFI_PAGE;

	if (efi.width == sizeof(u64))
		efi_boot(FREE_PAGES, module->start, pages, 0, 0, 0);
	else
		efi_boot(FREE_PAGES, module->start, 0, pages, 0, 0);	/* an address is two words */
}

static void free_pool(u64 memory)
{
	if (memory)
		efi_boot(FREE_POOL, memory, 0, 0, 0, 0);
}

void efi_exit(void)
{
	if (!efi.boot || efi.leaving)
		return;
	while (handed.module_count > efi.others)
		free_pages(&handed.modules[--handed.module_count]);
	free_pool(efi.line);
	free_pool(efi.map);
	if (!efi.called)
		efi_boot(EXIT, efi.handle, 1ULL << (8 * efi.width - 1) | LOAD_ERROR, 0, 0, 0);
	else if (efi.width == sizeof(u64))
		return64(&entered);
	else
		call_firmware32(return32, &entered);
	efi.boot = 0;
}
