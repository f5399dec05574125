/* From the entry code to the verdict. */
#include "microkernel.h"

#define MOST_FAILURES 64

struct told told;

static char failures[MOST_FAILURES][32];
static u32 failures_count;

_Static_assert(sizeof(struct entry_state) == STATE_SIZE, "state.h");
_Static_assert(offsetof(struct entry_state, general[8]) == STATE_R8, "state.h");
_Static_assert(offsetof(struct entry_state, rip) == STATE_RIP, "state.h");
_Static_assert(offsetof(struct entry_state, efer) == STATE_EFER, "state.h");
_Static_assert(offsetof(struct entry_state, cs) == STATE_CS, "state.h");
_Static_assert(offsetof(struct entry_state, ldtr) == STATE_LDTR, "state.h");
_Static_assert(offsetof(struct entry_state, gdtr) == STATE_GDTR, "state.h");
_Static_assert(offsetof(struct entry_state, idtr) == STATE_IDTR, "state.h");
_Static_assert(offsetof(struct entry_state, abi) == STATE_ABI, "state.h");
_Static_assert(offsetof(struct entry_state, failed) == STATE_FAILED, "state.h");
_Static_assert(offsetof(struct entry_state, fault_ip) == STATE_FAULT_IP, "state.h");
_Static_assert(offsetof(struct entry_state, setup) == STATE_SETUP, "state.h");
_Static_assert(offsetof(struct entry_state, page) == STATE_PAGE, "state.h");

void fail(const char *check)
{
	u32 at = 0;

	for (u32 i = 0; i < failures_count; i++)
		if (!strcmp(failures[i], check))
			return;
	if (failures_count == MOST_FAILURES)
		return;
	while (check[at] && at < sizeof(failures[0]) - 1) {
		failures[failures_count][at] = check[at];
		at++;
	}
	failures_count++;
}

void leave(u32 status)
{
	for (;;)
		asm volatile("outl %0, %1; hlt" : : "a"(status), "N"(EXIT_PORT));
}

/*
 * What an ELF, or the address fields of a multiboot header, call BSS is handed over as zeros. Of a
 * bzImage nobody promises that; Linux clears its own.
 */
static bool clear_bss(void)
{
	bool clean = true;

	for (u32 *word = (u32 *)bss_start; word < (u32 *)bss_end; word++) {
		if (*word)
			clean = false;
		*word = 0;
	}
	return clean;
}

static void decode(const struct entry_state *state)
{
	if (state->abi <= LINUX64)
		decode_linux(state);
	else if (state->abi == PVH)
		decode_pvh(state);
	else if (state->abi == MULTIBOOT1)
		decode_multiboot1(state);
	else
		decode_multiboot2(state);
}

void start(struct entry_state *state)
{
	bool clean = clear_bss();

	say_init();
	own_tables();
	if (state->setup)
		read_setup_state(state);
	if (state->failed & FAILED_FAULT) {
		say_trap(state, 0xff, state->fault_ip, 0, 0);
		leave(EXIT_TRAP);
	}
#ifndef BZIMAGE
	if (!clean)
		fail("bss");
#else
	(void)clean;
#endif
	own_pages(state);
	check_cpu(state);
	decode(state);
	check_told();
	say_report(state);
	say(", \"checks\": [");
	for (u32 i = 0; i < failures_count; i++) {
		say(i ? ", \"" : "\"");
		say(failures[i]);
		say("\"");
	}
	say("]}\n");
	leave(failures_count ? 1 : 0);
}
