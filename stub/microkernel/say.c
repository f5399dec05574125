/* JSON on the first serial port. */
#include "microkernel.h"

#define PORT 0x3f8
#define MOST_TEXT 65536

static const char abis[][12] = { "?", "linux16", "linux32", "linux64", "pvh", "multiboot1",
				 "multiboot2" };
static const char general[16][4] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
				     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

/* 115200 baud, 8 data bits, no parity, one stop bit, no interrupts. */
void say_init(void)
{
	outb(PORT + 1, 0x00);
	outb(PORT + 3, 0x80);
	outb(PORT + 0, 0x01);
	outb(PORT + 1, 0x00);
	outb(PORT + 3, 0x03);
	outb(PORT + 2, 0xc7);
}

static void say_byte(char byte)
{
	while (!(inb(PORT + 5) & 0x20))
		;
	outb(PORT, byte);
}

void say(const char *text)
{
	while (*text)
		say_byte(*text++);
}

static void say_number(u64 number)
{
	char digits[24];
	u32 at = sizeof(digits);

	digits[--at] = 0;
	do
		digits[--at] = '0' + divide(&number, 10);
	while (number);
	say(digits + at);
}

static void say_hex(const u8 *data, u32 size)
{
	static const char digits[] = "0123456789abcdef";

	say_byte('"');
	for (u32 i = 0; data && i < size; i++) {
		say_byte(digits[data[i] >> 4]);
		say_byte(digits[data[i] & 15]);
	}
	say_byte('"');
}

/* Text that is for people: what JSON would have to escape is a question mark. */
static void say_text(u64 address)
{
	u32 length = address ? text_length(address, 256) : 0;
	const char *text = physical(address, length);

	say_byte('"');
	for (u32 i = 0; text && i < length; i++)
		say_byte(text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\' ? '?' :
											       text[i]);
	say_byte('"');
}

static void say_key(const char *name)
{
	say(", \"");
	say(name);
	say("\": ");
}

static void say_value(const char *name, u64 number)
{
	say_key(name);
	say_number(number);
}

static void say_line(const char *name, u64 address)
{
	say_key(name);
	if (!address)
		say("null");
	else
		say_hex(physical(address, 0), text_length(address, MOST_TEXT));
}

static void say_begin(const struct entry_state *state)
{
	/* A line of its own, whatever was on the console. */
	say("\nmicrokernel: {\"abi\": \"");
	say(abis[state->abi < LENGTH(abis) ? state->abi : 0]);
	say("\"");
}

static void say_registers(const struct entry_state *state)
{
	say(", \"regs\": {\"rip\": ");
	say_number(state->rip);
	for (u32 i = 0; i < (state->abi == LINUX64 ? 16 : 8); i++)
		say_value(general[i], state->general[i]);
	say_value("rflags", state->rflags);
	say_value("cr0", state->cr0);
	say_value("cr2", state->cr2);
	say_value("cr3", state->cr3);
	say_value("cr4", state->cr4);
	say_value("efer", state->efer);
	say_value("cs", state->cs);
	say_value("ds", state->ds);
	say_value("es", state->es);
	say_value("fs", state->fs);
	say_value("gs", state->gs);
	say_value("ss", state->ss);
	if (state->abi != LINUX16) {	/* STR and SLDT are for protected mode */
		say_value("tr", state->tr);
		say_value("ldtr", state->ldtr);
	}
	say_value("gdtr", state->gdtr.base);
	say_value("gdtr_limit", state->gdtr.limit);
	say_value("idtr", state->idtr.base);
	say_value("idtr_limit", state->idtr.limit);
	say("}");
}

static void say_modules(void)
{
	say_key("modules");
	say("[");
	for (u32 i = 0; i < told.modules_count; i++) {
		const struct module *module = &told.modules[i];
		const u8 *data = physical(module->start, module->size);

		say(i ? ", {\"start\": " : "{\"start\": ");
		say_number(module->start);
		say_value("size", module->size);
		say_value("crc32", data ? crc32(data, module->size) : 0);
		say_line("cmdline", module->cmdline);
		say("}");
	}
	say("]");
}

static void say_triple(bool first, u64 one, u64 two, u64 three)
{
	say(first ? "[" : ", [");
	say_number(one);
	say(", ");
	say_number(two);
	say(", ");
	say_number(three);
	say("]");
}

static void say_tables(void)
{
	say_key("memory_map");
	say("[");
	for (u32 i = 0; i < told.ranges_count; i++)
		say_triple(!i, told.ranges[i].start, told.ranges[i].end, told.ranges[i].type);
	say("]");
	say_key("setup_data");
	say("[");
	for (u32 i = 0; i < told.nodes_count; i++)
		say_triple(!i, told.nodes[i].type, told.nodes[i].size, told.nodes[i].crc);
	say("]");
	say_key("facts");
	say("{");
	for (u32 i = 0; i < told.facts_count; i++) {
		say(i ? ", \"" : "\"");
		say(told.facts[i].name);
		say("\": ");
		say_number(told.facts[i].value);
	}
	say("}");
}

static void say_framebuffer(void)
{
	const struct framebuffer *screen = &told.framebuffer;

	say_key("framebuffer");
	if (!told.has_framebuffer) {
		say("null");
		return;
	}
	say("{\"address\": ");
	say_number(screen->address);
	say_value("width", screen->width);
	say_value("height", screen->height);
	say_value("pitch", screen->pitch);
	say_value("depth", screen->depth);
	say_value("type", screen->type);
	say_key("colours");
	say_hex(screen->colours, sizeof(screen->colours));
	say("}");
}

/* All but the checks and the closing brace. */
void say_report(const struct entry_state *state)
{
	say_begin(state);
	say_key("width");
	say_number(8 * sizeof(void *));
	say_key("image");
	say("[");
	say_number((uintptr_t)image_start);
	say(", ");
	say_number((uintptr_t)image_end);
	say("]");
	say_registers(state);
	say_line("cmdline", told.cmdline);
	say_modules();
	say_tables();
	say_value("rsdp", told.rsdp);
	say_key("rsdp_ok");
	say(rsdp_valid(told.rsdp, told.rsdp_size) ? "true" : "false");
	say_key("rsdp_searched");
	say(told.rsdp_searched ? "true" : "false");
	say_key("loader");
	say_text(told.loader);
	say_framebuffer();
}

void say_trap(const struct entry_state *state, u32 vector, u64 ip, u64 error, u64 cr2)
{
	say_begin(state);
	say(", \"trap\": {\"vector\": ");
	say_number(vector);
	say_value("rip", ip);
	say_value("error", error);
	say_value("cr2", cr2);
	say_value("image", (uintptr_t)image_start);
	say("}}\n");
}
