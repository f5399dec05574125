/*
 * Lines for people: the first serial port if there is one, the debug console 0xE9, and whatever else
 * is alive (EFI's console) or was told (a PC's text mode). And the end of a start that cannot go on.
 */
#include "core.h"
#include "boot_params.h"

#define SERIAL		0x3f8
#define LINE_CONTROL	(SERIAL + 3)
#define LINE_STATUS	(SERIAL + 5)
#define SCRATCH		(SERIAL + 7)
#define EIGHT_BITS	0x03		/* no parity, one stop bit */
#define DIVISOR		0x80
#define CAN_SEND	0x20
#define DEBUG_CONSOLE	0xe9
#define TEXT_SIZE	0x8000		/* of a text mode's memory */
#define COLUMNS		80
#define MODE_MONOCHROME	7
#define REVERSE		0x7000		/* black on white, with colours or without */
#define PATIENCE	0x10000		/* more looks at the port than sending a byte takes */

static void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static bool has_serial;

/* 115200 baud, unless somebody has chosen already. */
static void find_serial(void)
{
	outb(SCRATCH, 0x5a);
	if (inb(SCRATCH) != 0x5a || inb(LINE_STATUS) == 0xff)
		return;
	has_serial = true;
	if (inb(LINE_CONTROL) != EIGHT_BITS) {
		outb(LINE_CONTROL, DIVISOR);
		outb(SERIAL, 1);
		outb(SERIAL + 1, 0);
		outb(LINE_CONTROL, EIGHT_BITS);
	}
}

/* Where the next character goes on a screen in a text mode; 0: there is no such one. */
static u16 *cell;

/* Below the loader's words or over the last two lines: a message is seldom longer, nothing scrolls. */
static void find_screen(void)
{
	struct screen_info *screen = (struct screen_info *)handed.zero_page;
	u32 line = screen->orig_y + 1, last = screen->orig_video_lines - 2;

	if (screen->orig_video_isVGA != VIDEO_TYPE_TEXT || screen->orig_video_cols != COLUMNS)
		return;
	screen->orig_video_isVGA = 0;	/* once: what is called here may have to stop, too */
	cell = may_reach(screen->orig_video_mode == MODE_MONOCHROME ? 0xb0000 : 0xb8000, TEXT_SIZE);
	cell += (line < last ? line : last) * COLUMNS;
}

static void say_byte(char byte)
{
	u32 patience = PATIENCE;

	if (cell && byte >= ' ')
		*cell++ = REVERSE | byte;
	if (has_serial) {
		while (!(inb(LINE_STATUS) & CAN_SEND) && --patience)
			;
		outb(SERIAL, byte);
	}
	outb(DEBUG_CONSOLE, byte);
}

/* say_where() must have been called. */
void say(const char *text)
{
	for (const char *at = text; *at; at++)
		say_byte(*at);
	efi_say(text);
}

static void say_in(u64 number, u32 base)
{
	char digits[21];
	u32 at = sizeof(digits);

	digits[--at] = 0;
	do
		digits[--at] = "0123456789abcdef"[number % base];
	while (number /= base);
	say(digits + at);
}

void say_hex(u64 number)
{
	say("0x");
	say_in(number, 16);
}

void say_number(u64 number)
{
	say_in(number, 10);
}

static void say_where(const char *what)
{
	find_serial();
	find_screen();
	say("hvmlite: ");
	if (handed.way) {
		say(handed.way);
		say(": ");
	}
	say(what);
	say(": ");
}

static void end(void) NORETURN;
static void end(void)
{
	say("\r\n");
	efi_exit();
	outb(STOP_PORT, STOP_STATUS);
	for (;;)
		asm volatile("cli; hlt");
}

static void end_needed(const char *needed) NORETURN;
static void end_needed(const char *needed)
{
	say(needed);
	say(" needed");
	end();
}

void stop(const char *what, u64 found, const char *needed)
{
	say_where(what);
	say_hex(found);
	say(", ");
	end_needed(needed);
}

void stop_over(const char *what, u64 found, const char *needed, u64 number)
{
	say_where(what);
	say_hex(found);
	say(", ");
	say(needed);
	say_hex(number);
	end();
}

void stop_text(const char *what, const char *needed)
{
	say_where(what);
	end_needed(needed);
}

#define HAS_ERROR_CODE	0x60227d00	/* 8, 10-14, 17, 21, 29, 30 */

/* start.S comes here with what is on the stack: the vector, the error code if it has one, RIP. */
void trap(const u64 *pushed)
{
	u64 vector = *pushed++, error = 0, cr2;

	if (HAS_ERROR_CODE >> vector & 1)
		error = *pushed++;
	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	say_where("exception");
	say_number(vector);
	say(", error code ");
	say_hex(error);
	say(", at _start + ");
	say_hex(*pushed - (u64)_start);
	say(", CR2 ");
	say_hex(cr2);
	end();
}
