/*
 * A plugin for QEMU's TCG: counts the instructions that the guest executes, each iteration of a REP as
 * one, and appends their number to a file when QEMU ends.
 *
 *	-plugin instructions.so,out=FILE
 *
 * Debian does not package qemu-plugin.h; these are the functions of its API version 1 that are used here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

#define EXPORT	__attribute__((visibility("default")))
#define ADD_U64	0

EXPORT int qemu_plugin_version = 1;

static uint64_t count;
static char *out;

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &count, qemu_plugin_tb_n_insns(block));
}

static void ended(plugin_id id, void *unused)
{
	FILE *file = fopen(out, "a");

	(void)id;
	(void)unused;
	if (!file || fprintf(file, "%llu\n", (unsigned long long)count) < 0 || fclose(file))
		perror(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return -1;
	out = strdup(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
