/* What Unicorn calls for each write: ranges, one after the other, in the order of the writes. */
#include <stdint.h>

#define MOST 4096

struct range {
	uint64_t start, end;
};

struct writes {
	uint64_t count;
	struct range ranges[MOST];
};

void written(void *engine, int type, uint64_t address, int size, int64_t value, struct writes *writes)
{
	struct range *last = writes->ranges + writes->count - 1;

	(void)engine;
	(void)type;
	(void)value;
	if (writes->count && last->end == address)
		last->end += size;
	else if (writes->count < MOST)
		writes->ranges[writes->count++] = (struct range){ address, address + size };
}
