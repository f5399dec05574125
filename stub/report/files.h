// SPDX-License-Identifier: MIT
// Reading files and folders. What is not there is null in the report.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	int fd;
	size_t next, filled;
	unsigned char buffer[1024];
};

bool open_file(struct reader *file, const char *path);
int next_byte(struct reader *file);	// -1 at the end
// A line without its end, cut where `line` is full; false at the end of the file.
bool next_line(struct reader *file, char *line, size_t size);
void close_file(struct reader *file);

bool is_folder(const char *path);
const char *after(const char *text, const char *prefix);	// NULL if it does not begin so
const char *number(const char *text, unsigned int base, uint64_t *value);

void put_text(const char *path);	// a string, without the newline at its end
void put_bytes(const char *path);	// a string of hexadecimal digits
void put_sum(const char *path);		// the SHA-256 as such a string
// An object: what the files in `folder`, and `depth` folders deep, are called: their SHA-256.
// Names are without the first `skip` characters of their path.
void put_sums(const char *folder, size_t skip, int depth);
