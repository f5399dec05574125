// SPDX-License-Identifier: MIT
// The init of a guest that says what it learnt, as one line of JSON on the serial port, and powers
// off. The line is "hvmlite-report: " and an object of ASCII characters; a byte that is none is
// \u00XX. What the guest does not have is null.
#include "files.h"
#include "output.h"
#include "syscalls.h"

#define S_IFCHR			0020000
#define TCSBRK			0x5409
#define SYSLOG_CONSOLE_LEVEL	8
#define REBOOT_MAGIC1		0xfee1deadu
#define REBOOT_MAGIC2		672274793
#define REBOOT_POWER_OFF	0x4321fedc

#define PAYLOAD_DEPTH		8

#define ACPI			"/sys/firmware/acpi/tables"
#define FB0			"/sys/class/graphics/fb0/"
#define SETUP_DATA		"/sys/kernel/boot_params/setup_data/"

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
void start(void) __attribute__((noreturn));

// The compiler may ask for these two, whatever it was told.
void *memcpy(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = byte;
	return to;
}

static void put_uname(void)
{
	static struct {
		char sysname[65], nodename[65], release[65], version[65], machine[65], domain[65];
	} name;

	syscall3(SYS_UNAME, (long)&name, 0, 0);
	put("\"release\":");
	put_string(name.release);
	put(",\"machine\":");
	put_string(name.machine);
}

// [{"type": number, "data": hexadecimal}, ...], in the order of the list.
static void put_setup_data(void)
{
	put("[");
	for (unsigned int node = 0; node < 1000; node++) {
		char path[] = SETUP_DATA "000/type", line[32];
		char *at = path + sizeof(SETUP_DATA) - 1;
		struct reader file;
		const char *text;
		uint64_t type = 0;

		if (node >= 100)
			*at++ = '0' + node / 100;
		if (node >= 10)
			*at++ = '0' + node / 10 % 10;
		*at++ = '0' + node % 10;
		memcpy(at, "/type", 6);
		if (!open_file(&file, path))
			break;
		if (next_line(&file, line, sizeof(line))) {
			text = after(line, "0x");
			number(text ? text : line, text ? 16 : 10, &type);
		}
		close_file(&file);
		put(node ? ",{\"type\":" : "{\"type\":");
		put_decimal(type);
		put(",\"data\":");
		memcpy(at, "/data", 6);
		put_bytes(path);
		put("}");
	}
	put("]");
}

// [[depth, start, end inclusive, name], ...]
static void put_iomem(void)
{
	struct reader file;
	char line[256];
	bool first = true;

	if (!open_file(&file, "/proc/iomem")) {
		put("null");
		return;
	}
	put("[");
	while (next_line(&file, line, sizeof(line))) {
		const char *text = line;
		uint64_t low, high;

		while (*text == ' ')
			text++;
		unsigned int depth = (text - line) / 2;

		if (!(text = number(text, 16, &low)) || !(text = after(text, "-")) ||
		    !(text = number(text, 16, &high)) || !(text = after(text, " : ")))
			continue;
		put(first ? "[" : ",[");
		first = false;
		put_decimal(depth);
		put(",");
		put_decimal(low);
		put(",");
		put_decimal(high);
		put(",");
		put_string(text);
		put("]");
	}
	put("]");
	close_file(&file);
}

static void put_memory_kib(void)
{
	struct reader file;
	char line[128];
	bool found = false;

	if (open_file(&file, "/proc/meminfo")) {
		while (!found && next_line(&file, line, sizeof(line))) {
			const char *text = after(line, "MemTotal:");
			uint64_t value;

			while (text && *text == ' ')
				text++;
			if (text && number(text, 10, &value)) {
				put_decimal(value);
				found = true;
			}
		}
		close_file(&file);
	}
	if (!found)
		put("null");
}

static void put_cpus(void)
{
	struct reader file;
	char line[64];
	uint64_t count = 0;

	if (!open_file(&file, "/proc/cpuinfo")) {
		put("null");
		return;
	}
	while (next_line(&file, line, sizeof(line)))
		if (after(line, "processor\t"))
			count++;
	close_file(&file);
	put_decimal(count);
}

// The first frame buffer in its driver's words.
static void put_framebuffer(void)
{
	if (!is_folder(FB0)) {
		put("null");
		return;
	}
	put("{\"name\":");
	put_text(FB0 "name");
	put(",\"virtual_size\":");
	put_text(FB0 "virtual_size");
	put(",\"bits_per_pixel\":");
	put_text(FB0 "bits_per_pixel");
	put(",\"stride\":");
	put_text(FB0 "stride");
	put("}");
}

// /proc/uptime has seconds with two digits behind the point.
static void put_uptime_ms(void)
{
	struct reader file;
	char line[64];
	uint64_t seconds = 0, hundredths = 0;
	const char *text = NULL;

	if (open_file(&file, "/proc/uptime")) {
		if (next_line(&file, line, sizeof(line)))
			text = number(line, 10, &seconds);
		close_file(&file);
	}
	if (!text) {
		put("null");
		return;
	}
	text = after(text, ".");
	if (text)
		number(text, 10, &hundredths);
	put_decimal(seconds * 1000 + hundredths * 10);
}

static void put_report(void)
{
	put("hvmlite-report: {\"schema\":1,");
	put_uname();
	put(",\"cmdline\":");
	put_text("/proc/cmdline");
	put(",\"boot_params\":");
	put_bytes("/sys/kernel/boot_params/data");
	put(",\"setup_data\":");
	put_setup_data();
	put(",\"iomem\":");
	put_iomem();
	put(",\"memory_kib\":");
	put_memory_kib();
	put(",\"cpus\":");
	put_cpus();
	put(",\"files\":");
	put_sums("/payload", 0, PAYLOAD_DEPTH);
	put(",\"acpi\":");
	put_sums(ACPI, sizeof(ACPI), 0);
	put(is_folder("/sys/firmware/efi") ? ",\"efi\":true" : ",\"efi\":false");
	put(",\"framebuffer\":");
	put_framebuffer();
	put(",\"hypervisor\":");
	put_text("/sys/hypervisor/type");
	put(",\"uptime_ms\":");
	put_uptime_ms();
	put("}\n");
	flush();
}

static void mount(const char *type, const char *folder)
{
	syscall3(SYS_MKDIR, (long)folder, 0755, 0);
	syscall5(SYS_MOUNT, (long)type, (long)folder, (long)type, 0, 0);
}

// A device that can be written to, from a new line on, or an error.
static int open_device(const char *path, unsigned int major, unsigned int minor)
{
	int fd;

	// The initramfs need not have it.
	syscall3(SYS_MKNOD, (long)path, S_IFCHR | 0600, major << 8 | minor);
	fd = sys_open(path, O_RDWR | O_NOCTTY);
	if (fd < 0 || sys_write(fd, "\n", 1) == 1)
		return fd;
	sys_close(fd);
	return -1;
}

static int open_console(void)
{
	int fd;

	mount("proc", "/proc");
	mount("sysfs", "/sys");
	syscall3(SYS_MKDIR, (long)"/dev", 0755, 0);
	// No words of the kernel's between ours.
	syscall3(SYS_SYSLOG, SYSLOG_CONSOLE_LEVEL, 0, 1);
	fd = open_device("/dev/ttyS0", 4, 64);
	return fd < 0 ? open_device("/dev/console", 5, 1) : fd;
}

// The init of a guest or, on trial, any other process: then it changes nothing and just ends.
void start(void)
{
	bool init = syscall3(SYS_GETPID, 0, 0, 0) == 1;
	int fd = init ? open_console() : 1;

	output_to(fd);
	put_report();
	if (init) {
		syscall3(SYS_IOCTL, fd, TCSBRK, 1);	// until all is sent
		syscall3(SYS_SYNC, 0, 0, 0);
		syscall3(SYS_REBOOT, REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_POWER_OFF);
		for (;;)
			syscall3(SYS_PAUSE, 0, 0, 0);
	}
	for (;;)
		syscall3(SYS_EXIT, 0, 0, 0);
}
