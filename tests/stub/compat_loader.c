/*
 * An UEFI program for 32-bit firmware that starts linux.efi of its own volume by the entry that a PE
 * image for x86-64 has for it: Linux, include/linux/pe.h, LINUX_PE_COMPAT; what systemd-boot does.
 * Firmware loads such an image, but does not start it. Load options are passed on.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

/* UEFI specification 2.10, with pointers of 32 bits. */
#define BOOT_SERVICES	0x3c	/* in the system table */
#define HANDLE_PROTOCOL	0x58	/* in boot services */
#define LOAD_IMAGE	0x70
#define DEVICE		0x0c	/* in the loaded image protocol */
#define OPTIONS_SIZE	0x18
#define OPTIONS		0x1c
#define BASE		0x20
#define LOAD_ERROR	0x80000001

typedef u32 function();

static const u8 name[] = { 4, 4, 26, 0, '\\', 0, 'l', 0, 'i', 0, 'n', 0, 'u', 0, 'x', 0, '.', 0,
			   'e', 0, 'f', 0, 'i', 0, 0, 0, 0x7f, 0xff, 4, 0 };

static u32 word(u32 base, u32 offset)
{
	return *(u32 *)(base + offset);
}

static u32 protocol(u32 boot, u32 handle, u32 first, u32 second, u32 third, u32 fourth)
{
	const u32 guid[] = { first, second, third, fourth };
	u32 found = 0;

	((function *)word(boot, HANDLE_PROTOCOL))(handle, guid, &found);
	return found;
}

static u32 loaded_image(u32 boot, u32 handle)
{
	return protocol(boot, handle, 0x5b1b31a1, 0x11d29562, 0xa0003f8e, 0x3b7269c9);
}

static u32 compat_entry(u32 base)
{
	u32 pe = base + word(base, 0x3c), section = pe + 24 + (u16)word(pe, 20);

	for (u32 count = word(pe, 4) >> 16; count; count--, section += 40) {
		const u8 *record = (const u8 *)(base + word(section, 12));

		if (word(section, 0) != 0x6d6f632e)	/* ".com" */
			continue;
		for (; record[0]; record += record[1])
			if (record[0] == 1 && record[2] == 0x4c && record[3] == 1)
				return base + *(u32 *)(record + 4);
	}
	return 0;
}

u32 efi_main(u32 handle, u32 table)
{
	u32 boot = word(table, BOOT_SERVICES), self = loaded_image(boot, handle), child = 0, entry, image;
	const u8 *path = (const u8 *)protocol(boot, word(self, DEVICE), 0x09576e91, 0x11d26d3f,
					      0xa000398e, 0x3b7269c9);
	u8 whole[1024];
	u32 size = 0;

	for (; path[0] != 0x7f; path += path[2] | path[3] << 8)
		for (u32 i = 0; i < (u32)(path[2] | path[3] << 8); i++)
			whole[size++] = path[i];
	for (u32 i = 0; i < sizeof(name); i++)
		whole[size++] = name[i];
	((function *)word(boot, LOAD_IMAGE))(0, handle, whole, 0, 0, &child);
	if (!child)
		return LOAD_ERROR;
	image = loaded_image(boot, child);
	*(u32 *)(image + OPTIONS_SIZE) = word(self, OPTIONS_SIZE);
	*(u32 *)(image + OPTIONS) = word(self, OPTIONS);
	entry = compat_entry(word(image, BASE));
	return entry ? ((function *)entry)(child, table) : LOAD_ERROR;
}
