/* Physical memory, and the few functions that a C compiler expects somewhere. */
#include "microkernel.h"

#ifdef __x86_64__
#define REACH ((u64)GIGABYTES << 30)
#else
#define REACH ((u64)1 << 32)
#endif

static u32 crc_table[256];

const void *physical(u64 address, u64 size)
{
	if (address > REACH || size > REACH - address) {
		fail("reach");
		return NULL;
	}
	return (const void *)(uintptr_t)address;
}

u32 text_length(u64 address, u32 most)
{
	const char *text = physical(address, most);
	u32 length = 0;

	while (text && length < most && text[length])
		length++;
	return length;
}

/* CRC-32 as zlib and gzip have it. */
u32 crc32(const u8 *data, u64 size)
{
	u32 crc = ~0u;

	for (u32 i = 0; i < 256 && !crc_table[255]; i++) {
		crc_table[i] = i;
		for (u32 bit = 0; bit < 8; bit++)
			crc_table[i] = crc_table[i] >> 1 ^ (crc_table[i] & 1 ? 0xedb88320 : 0);
	}
	for (u64 i = 0; i < size; i++)
		crc = crc >> 8 ^ crc_table[(crc ^ data[i]) & 0xff];
	return ~crc;
}

/* Divide a number of 64 bits in place and return the remainder; 32-bit code has no operator for it. */
u32 divide(u64 *number, u32 by)
{
	u32 high = *number >> 32, low = *number, remainder = high % by;

	high /= by;
	asm("divl %2" : "+a"(low), "+d"(remainder) : "r"(by) : "cc");
	*number = (u64)high << 32 | low;
	return remainder;
}

void *memset(void *to, int byte, size_t size)
{
	u8 *at = to;

	while (size--)
		*at++ = byte;
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	const u8 *source = from;
	u8 *at = to;

	while (size--)
		*at++ = *source++;
	return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
	const u8 *a = one, *b = other;

	for (; size; size--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

int strcmp(const char *one, const char *other)
{
	while (*one && *one == *other) {
		one++;
		other++;
	}
	return *(const u8 *)one - *(const u8 *)other;
}
