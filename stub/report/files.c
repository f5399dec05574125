// SPDX-License-Identifier: MIT
#include "files.h"
#include "output.h"
#include "sha256.h"
#include "syscalls.h"

#define DT_UNKNOWN	0
#define DT_DIR		4
#define DT_REG		8

#define PATH_SIZE	1024

struct entry {				// struct linux_dirent64
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

bool open_file(struct reader *file, const char *path)
{
	file->fd = sys_open(path, O_RDONLY);
	file->next = file->filled = 0;
	return file->fd >= 0;
}

static bool refill(struct reader *file)
{
	long result;

	do
		result = sys_read(file->fd, file->buffer, sizeof(file->buffer));
	while (result == -EINTR);
	file->next = 0;
	file->filled = result > 0 ? result : 0;
	return file->filled != 0;
}

int next_byte(struct reader *file)
{
	if (file->next == file->filled && !refill(file))
		return -1;
	return file->buffer[file->next++];
}

bool next_line(struct reader *file, char *line, size_t size)
{
	int byte = next_byte(file);
	size_t length = 0;

	if (byte < 0)
		return false;
	for (; byte >= 0 && byte != '\n'; byte = next_byte(file))
		if (length + 1 < size)
			line[length++] = byte;
	line[length] = 0;
	return true;
}

void close_file(struct reader *file)
{
	sys_close(file->fd);
}

bool is_folder(const char *path)
{
	int fd = sys_open(path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return false;
	sys_close(fd);
	return true;
}

const char *after(const char *text, const char *prefix)
{
	while (*prefix)
		if (*text++ != *prefix++)
			return NULL;
	return text;
}

const char *number(const char *text, unsigned int base, uint64_t *value)
{
	const char *start = text;

	for (*value = 0;; text++) {
		unsigned int digit;

		if (*text >= '0' && *text <= '9')
			digit = *text - '0';
		else if (*text >= 'a' && *text <= 'f')
			digit = *text - 'a' + 10;
		else
			break;
		if (digit >= base)
			break;
		*value = *value * base + digit;
	}
	return text == start ? NULL : text;
}

void put_text(const char *path)
{
	struct reader file;
	bool newline = false;

	if (!open_file(&file, path)) {
		put("null");
		return;
	}
	put("\"");
	for (int byte; (byte = next_byte(&file)) >= 0;) {
		if (newline)
			put_escaped('\n');
		newline = byte == '\n';
		if (!newline)
			put_escaped(byte);
	}
	put("\"");
	close_file(&file);
}

void put_bytes(const char *path)
{
	struct reader file;

	if (!open_file(&file, path)) {
		put("null");
		return;
	}
	put("\"");
	for (int byte; (byte = next_byte(&file)) >= 0;)
		put_hex(byte);
	put("\"");
	close_file(&file);
}

void put_sum(const char *path)
{
	static unsigned char buffer[16384];
	unsigned char digest[SHA256_SIZE];
	struct sha256 sum;
	int fd = sys_open(path, O_RDONLY);
	long result;

	if (fd < 0) {
		put("null");
		return;
	}
	sha256_start(&sum);
	while ((result = sys_read(fd, buffer, sizeof(buffer))) > 0 || result == -EINTR)
		if (result > 0)
			sha256_add(&sum, buffer, result);
	sys_close(fd);
	if (result < 0) {
		put("null");
		return;
	}
	sha256_finish(&sum, digest);
	put_hex_string(digest, sizeof(digest));
}

// The length of `path` with "/" and `name` behind its first `length` characters; 0 if it is too
// long, or no name of its own.
static size_t join(char *path, size_t length, const char *name)
{
	if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
		return 0;
	path[length++] = '/';
	do {
		if (length == PATH_SIZE - 1)	// a "/" shall still fit
			return 0;
		path[length++] = *name;
	} while (*name++);
	return length - 1;
}

static void walk(char *path, size_t length, size_t skip, int depth, bool *first);

static void visit(char *path, size_t length, size_t skip, int depth, bool *first, int type)
{
	if (type == DT_DIR && depth) {
		walk(path, length, skip, depth - 1, first);
		return;
	}
	if (type != DT_REG && type != DT_UNKNOWN)
		return;
	if (!*first)
		put(",");
	*first = false;
	put_string(path + skip);
	put(":");
	put_sum(path);
}

static void walk(char *path, size_t length, size_t skip, int depth, bool *first)
{
	char buffer[1024] __attribute__((aligned(8)));
	int fd = sys_open(path, O_RDONLY | O_DIRECTORY);
	long size;

	if (fd < 0)
		return;
	while ((size = syscall3(SYS_GETDENTS64, fd, (long)buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < size;) {
			const struct entry *entry = (const struct entry *)(buffer + at);
			size_t end = join(path, length, entry->name);

			if (end)
				visit(path, end, skip, depth, first, entry->type);
			path[length] = 0;
			if (!entry->length)	// no kernel does that
				break;
			at += entry->length;
		}
	sys_close(fd);
}

void put_sums(const char *folder, size_t skip, int depth)
{
	static char path[PATH_SIZE];
	bool first = true;
	size_t length = 0;

	if (!is_folder(folder)) {
		put("null");
		return;
	}
	for (; folder[length]; length++)
		path[length] = folder[length];
	path[length] = 0;
	put("{");
	walk(path, length, skip, depth, &first);
	put("}");
}
