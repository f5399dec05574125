// SPDX-License-Identifier: MIT
#include "output.h"
#include "syscalls.h"

static char buffer[4096];
static size_t used;
static int target;

void output_to(int fd)
{
	target = fd;
}

// What cannot be written is given up: there is nobody to tell.
void flush(void)
{
	size_t done = 0;

	while (done < used) {
		long result = sys_write(target, buffer + done, used - done);

		if (result == -EINTR || result == -EAGAIN)
			continue;
		if (result <= 0)
			break;
		done += result;
	}
	used = 0;
}

static void put_byte(char byte)
{
	if (used == sizeof(buffer))
		flush();
	buffer[used++] = byte;
}

void put(const char *text)
{
	while (*text)
		put_byte(*text++);
}

void put_hex(unsigned char byte)
{
	static const char digits[16] __attribute__((nonstring)) = "0123456789abcdef";

	put_byte(digits[byte >> 4]);
	put_byte(digits[byte & 15]);
}

void put_hex_string(const unsigned char *bytes, size_t size)
{
	put_byte('"');
	while (size--)
		put_hex(*bytes++);
	put_byte('"');
}

// Whatever the byte is, what is written is ASCII, and a byte is one character.
void put_escaped(unsigned char byte)
{
	if (byte < 0x20 || byte > 0x7e) {
		put("\\u00");
		put_hex(byte);
		return;
	}
	if (byte == '"' || byte == '\\')
		put_byte('\\');
	put_byte(byte);
}

void put_string(const char *text)
{
	put_byte('"');
	while (*text)
		put_escaped(*text++);
	put_byte('"');
}

// Division of 16 bits at a time: i386 has no division of 64 bits, and the compiler's is not here.
void put_decimal(uint64_t value)
{
	char digits[20];
	size_t count = 0;

	do {
		uint64_t quotient = 0;
		uint32_t rest = 0;

		for (int shift = 48; shift >= 0; shift -= 16) {
			uint32_t part = rest << 16 | (value >> shift & 0xffff);

			quotient = quotient << 16 | part / 10;
			rest = part % 10;
		}
		digits[count++] = '0' + rest;
		value = quotient;
	} while (value);
	while (count)
		put_byte(digits[--count]);
}
