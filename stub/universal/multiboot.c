#include "multiboot.h"

struct loader {
	char name[12];		/* what its name begins with */
	u8 type;		/* type_of_loader: Documentation/arch/x86/boot.rst */
	u8 file_first;		/* whether its command lines begin with the kernel's file name */
};

/*
 * Who puts the file name in front, and that this one does not: from each loader's source (QEMU
 * hw/i386/multiboot.c, kexec-tools kexec-multiboot-x86.c and kexec-mb2-x86.c, iPXE multiboot.c,
 * Syslinux com32/mboot). GRUB 2 hands over the arguments only. The document leaves it open, so that
 * of a loader that is not listed, or does not say its name, each word is kept.
 */
static const struct loader loaders[] = {
	{ "GRUB ", 0x72, 0 },
	{ "qemu", 0xb0, 1 },
	{ "kexec", 0xd0, 1 },
	{ "iPXE ", 0x40, 1 },
	{ "SYSLINUX ", 0x31, 1 },
	{ "PXELINUX ", 0x32, 1 },
	{ "ISOLINUX ", 0x33, 1 },
	{ "EXTLINUX ", 0x34, 1 },
};

static void skip_word(struct handed *handed)
{
	const char *line = (const char *)handed->command_line;
	u64 at = 0;

	while (at < handed->command_line_size && line[at] == ' ')
		at++;
	while (at < handed->command_line_size && line[at] != ' ')
		at++;
	while (at < handed->command_line_size && line[at] == ' ')
		at++;
	handed->command_line += at;
	handed->command_line_size -= at;
}

static u64 length(const char *text)
{
	u64 size = 0;

	while (text[size])
		size++;
	return size;
}

/* After the command line is known. `name` may be 0. */
void set_loader(struct handed *handed, const char *name, u64 size)
{
	handed->zero_page[TYPE_OF_LOADER] = 0xff;	/* none of those that have a number */
	for (u32 i = 0; name && i < sizeof(loaders) / sizeof(*loaders); i++) {
		const u64 known = length(loaders[i].name);

		if (size < known || memcmp(name, loaders[i].name, known))
			continue;
		handed->zero_page[TYPE_OF_LOADER] = loaders[i].type;
		if (loaders[i].file_first)
			skip_word(handed);
		return;
	}
}

/*
 * The documents name 1 to 5 and call all others reserved. GRUB hands E820's numbers on as they are:
 * persistent memory is worth to be known, and no kernel takes it for RAM.
 */
u32 e820_type(u32 type)
{
	return (type >= 1 && type <= 5) || type == 7 || type == 12 ? type : 2;
}

/* KiB from 0 on, and from 1 MiB on up to the first hole: all that there is without a memory map. */
void add_meminfo(struct handed *handed, u32 lower, u32 upper)
{
	if (lower)
		add_map(handed, 0, (u64)lower << 10, 1);
	if (upper)
		add_map(handed, 0x100000, (u64)upper << 10, 1);
	put32(handed, ALT_MEM_K, upper);
}
