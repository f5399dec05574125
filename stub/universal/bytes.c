/* What the compiler calls whether it was asked to or not. */
#include "universal.h"

void *memcpy(void *to, const void *from, unsigned long size)
{
	void *start = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return start;
}

void *memmove(void *to, const void *from, unsigned long size)
{
	u8 *last = (u8 *)to + size - 1;
	const u8 *last_from = (const u8 *)from + size - 1;

	if ((u64)to - (u64)from >= size)
		return memcpy(to, from, size);
	asm volatile("std\n\trep movsb\n\tcld"
		     : "+D"(last), "+S"(last_from), "+c"(size) : : "memory");
	return to;
}

void *memset(void *to, int byte, unsigned long size)
{
	void *start = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
	return start;
}

int memcmp(const void *one, const void *other, unsigned long size)
{
	const u8 *a = one, *b = other;

	for (; size; size--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}
