/*
 * The parts of the stub's EFI decoder that ask no firmware, as a program of this machine: one question
 * after the other on standard input. Buffers have exactly the size that the parts are told of, so that
 * the address sanitizer sees each byte too many.
 */
#include <stdio.h>
#include <stdlib.h>

#include "efi.h"

struct question {
	u32 what, size;		/* of the data behind it */
	u64 room, from, own_start, own_size;
};

struct handed handed;
static struct e820_entry map[MAX_MAP];

void add_map(struct handed *to, u64 start, u64 size, u32 type)
{
	if (to->map_count == MAX_MAP)
		abort();
	to->map[to->map_count++] = (struct e820_entry){ start, size, type };
}

static void answer(u64 number, const void *data, u64 size)
{
	fwrite(&number, sizeof(number), 1, stdout);
	fwrite(&size, sizeof(size), 1, stdout);
	fwrite(data, 1, size, stdout);
	fflush(stdout);
}

static void ask(const struct question *question, const u8 *data)
{
	struct range own = { question->own_start, question->own_size };
	u64 count = question->size / sizeof(char16), room = question->room, number;
	void *to = calloc(room ? room : 1, sizeof(char16));

	switch (question->what) {
	case 0:
		number = utf16_to_utf8((const char16 *)data, count, to, room);
		answer(number, to, number < room ? number : room);
		break;
	case 1:
		number = next_initrd((const char16 *)data, count, question->from, to, room);
		answer(number, to, room * sizeof(char16));
		break;
	default:
		handed.map = map;
		handed.map_count = 0;
		add_efi_map(&handed, data, question->size, room, own);
		answer(handed.map_count, map, handed.map_count * sizeof(*map));
	}
	free(to);
}

int main(void)
{
	struct question question;

	while (fread(&question, sizeof(question), 1, stdin) == 1) {
		u8 *data = malloc(question.size);

		if (fread(data, 1, question.size, stdin) != question.size)
			return 1;
		ask(&question, data);
		free(data);
	}
	return 0;
}
