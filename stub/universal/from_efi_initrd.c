/* The initrd: what a loader offers, or else the files that the load options name. */
#include "core.h"
#include "efi.h"

#define CHUNK		0x100000	/* some firmware cannot read more at once */
#define NAME_MAX	256
#define ANY_PAGES	0		/* EFI_ALLOCATE_TYPE */
#define MAX_ADDRESS	1
#define MODE_READ	1

static const struct guid load_file2_guid = {
	0x4006c0c1, 0xfcb3, 0x403e, { 0x99, 0x6d, 0x4a, 0x6c, 0x87, 0x24, 0xe0, 0x6d }
};
static const struct guid file_system_guid = {
	0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b }
};
static const struct guid file_info_guid = {
	0x09576e92, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b }
};

/* Linux's LINUX_EFI_INITRD_MEDIA_GUID as a vendor's media device path, and the path's end. */
static const struct {
	u8 node[4];
	struct guid guid;
	u8 end[4];
} initrd_path = {
	{ 4, 3, 20, 0 },
	{ 0x5568e427, 0x68fc, 0x4f3d, { 0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68 } },
	{ 0x7f, 0xff, 4, 0 }
};

struct file_info {
	u64 size, file_size, physical_size;
	u8 times[48];
	u64 attribute;
	char16 name[NAME_MAX];
};

/* A module of `size` bytes, which are not 0, low enough for the kernel if there is room. */
static u64 add(struct handed *handed, u64 size)
{
	u64 pages = (size - 1) / EFI_PAGE + 1, address = params()->initrd_max;

	if (pages >> 32 ||
	    (efi_boot(ALLOCATE_PAGES, MAX_ADDRESS, LOADER_DATA, pages, (u64)&address, 0) &&
	     efi_boot(ALLOCATE_PAGES, ANY_PAGES, LOADER_DATA, pages, (u64)&address, 0)))
		stop("initrd", size, "as many bytes of free RAM are");
	add_module(handed, address, size);
	return address;
}

/* Whether there was somebody who offers one. */
static bool load_offered(struct handed *handed)
{
	u64 path = (u64)&initrd_path, handle = 0, size = 0, loader, load, status;

	if (efi_boot(LOCATE_DEVICE_PATH, (u64)&load_file2_guid, (u64)&path, (u64)&handle, 0, 0))
		return false;
	loader = efi_protocol(handle, &load_file2_guid);
	if (!loader)
		return false;
	load = efi_word(loader, LOAD_FILE_LOAD);
	status = efi_call(load, loader, path, 0, (u64)&size, 0);
	if (status == EFI_NOT_FOUND)
		return false;
	if (status == EFI_BUFFER_TOO_SMALL && size)
		status = efi_call(load, loader, path, 0, (u64)&size, add(handed, size));
	if (status)
		stop("initrd", status, "success of EFI_LOAD_FILE2 is");
	return true;
}

static void read_file(struct handed *handed, u64 file)
{
	struct file_info info;
	u64 size = sizeof(info), left, to;

	if (efi_call(efi_word(file, FILE_GET_INFO), file, (u64)&file_info_guid, (u64)&size, (u64)&info, 0))
		info.file_size = ~0ULL;	/* which add() refuses */
	left = info.file_size;
	if (!left)
		return;
	to = add(handed, left);
	while (left) {
		size = left < CHUNK ? left : CHUNK;
		if (efi_call(efi_word(file, FILE_READ), file, (u64)&size, to, 0, 0) || !size)
			stop("initrd=", left, "to read as many bytes more is");
		to += size;
		left -= size;
	}
}

/* From the volume that the image came from, as many as there are. */
static void load_named(struct handed *handed, u64 image)
{
	u64 size = *(u32 *)reach(image + 6 * efi.width, 4, "load options"), at = 0, root = 0, file;
	const char16 *options = reach(efi_word(image, IMAGE_OPTIONS), size, "load options");
	char16 name[NAME_MAX] = { 0 };

	if (!options)
		return;
	while ((at = next_initrd(options, size / sizeof(*options), at, name, NAME_MAX))) {
		if (name[NAME_MAX - 1])
			stop("initrd=", NAME_MAX, "a shorter name is");
		if (!root) {
			u64 system = efi_protocol(efi_word(image, IMAGE_DEVICE), &file_system_guid);

			if (!system || efi_call(efi_word(system, SYSTEM_OPEN_VOLUME), system, (u64)&root, 0, 0, 0))
				stop_text("initrd=", "files where the image came from are");
		}
		file = 0;
		/* 32-bit firmware takes two words for each of the last two. */
		if (efi_call(efi_word(root, FILE_OPEN), root, (u64)&file, (u64)name, MODE_READ, 0))
			stop("initrd=", at, "a file of the name that ends there is");
		read_file(handed, file);
		efi_call(efi_word(file, FILE_CLOSE), file, 0, 0, 0, 0);
	}
	if (root)
		efi_call(efi_word(root, FILE_CLOSE), root, 0, 0, 0, 0);
}

void find_initrd(struct handed *handed, u64 image)
{
	if (!load_offered(handed)) {
		if (image)
			load_named(handed, image);
	} else if (efi.others) {	/* Linux prefers it to what a zero page names */
		handed->modules[0] = handed->modules[efi.others];
		handed->module_count = 1;
		efi.others = 0;
	}
}
