// SPDX-License-Identifier: MIT
// JSON, written piece by piece to one file descriptor.
#pragma once

#include <stddef.h>
#include <stdint.h>

void output_to(int fd);
void flush(void);

void put(const char *text);		// as it is
void put_escaped(unsigned char byte);	// inside a string
void put_string(const char *text);	// with its quotes
void put_hex(unsigned char byte);
void put_hex_string(const unsigned char *bytes, size_t size);
void put_decimal(uint64_t value);
