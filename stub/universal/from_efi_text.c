/* Load options: UTF-16 to UTF-8, and the initrd= in them, as Linux's own EFI stub understands them. */
#include "efi.h"

#define REPLACEMENT 0xfffd

static void put(u8 *to, u64 room, u64 *size, u8 byte)
{
	if (*size < room)
		to[*size] = byte;
	++*size;
}

/*
 * Convert at most `count` units, up to a NUL or the end of the line. Surrogates without their other
 * half become U+FFFD. Returns the number of bytes; what has no room is counted, but not written.
 */
u64 utf16_to_utf8(const char16 *from, u64 count, u8 *to, u64 room)
{
	u64 at = 0, size = 0;

	while (at < count && from[at] && from[at] != '\n') {
		u32 code = from[at++];
		u32 more;	/* bytes behind the first */

		if ((code & 0xf800) == 0xd800) {
			if (code < 0xdc00 && at < count && (from[at] & 0xfc00) == 0xdc00)
				code = 0x10000 + ((code & 0x3ff) << 10) + (from[at++] & 0x3ff);
			else
				code = REPLACEMENT;
		}
		more = (code >= 0x80) + (code >= 0x800) + (code >= 0x10000);
		put(to, room, &size, more ? 0x780 >> more | code >> 6 * more : code);
		while (more--)
			put(to, room, &size, 0x80 | (code >> 6 * more & 0x3f));
	}
	return size;
}

static int is_space(char16 unit)
{
	return unit <= ' ';
}

/*
 * Find the first word initrd=NAME at or behind `from`; the name goes to `name`, with a NUL, in the
 * firmware's spelling: no slashes before it, backslashes in it. Returns where to go on, or 0 if there
 * is none. A name that has no room is cut, and then no NUL ends it.
 */
u64 next_initrd(const char16 *options, u64 count, u64 from, char16 *name, u64 room)
{
	static const char key[] = "initrd=";
	u64 at = from, matched, length = 0;

	for (;; at++) {
		for (matched = 0; matched < sizeof(key) - 1; matched++) {
			if (at + matched >= count || options[at + matched] == '\0' ||
			    options[at + matched] == '\n')
				return 0;
			if (options[at + matched] != (u8)key[matched])
				break;
		}
		if (matched == sizeof(key) - 1 && (at == 0 || is_space(options[at - 1])))
			break;
	}
	at += matched;
	while (at < count && (options[at] == '/' || options[at] == '\\'))
		at++;
	for (; at < count && !is_space(options[at]); at++) {
		if (length < room)
			name[length++] = options[at] == '/' ? '\\' : options[at];
	}
	if (length < room)
		name[length] = 0;
	return at;
}
