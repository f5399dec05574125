// SPDX-License-Identifier: MIT
// Linux's system calls, as far as they are used here: x86-64 by SYSCALL, i386 by INT 80h.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Number on x86-64, on i386: arch/x86/entry/syscalls of Linux.
#ifdef __x86_64__
#define CALL(amd64, i386) amd64
#else
#define CALL(amd64, i386) i386
#endif

#define SYS_READ	CALL(0, 3)
#define SYS_WRITE	CALL(1, 4)
#define SYS_OPEN	CALL(2, 5)
#define SYS_CLOSE	CALL(3, 6)
#define SYS_IOCTL	CALL(16, 54)
#define SYS_PAUSE	CALL(34, 29)
#define SYS_GETPID	CALL(39, 20)
#define SYS_EXIT	CALL(60, 1)
#define SYS_UNAME	CALL(63, 122)
#define SYS_MKDIR	CALL(83, 39)
#define SYS_SYSLOG	CALL(103, 103)
#define SYS_MKNOD	CALL(133, 14)
#define SYS_SYNC	CALL(162, 36)
#define SYS_MOUNT	CALL(165, 21)
#define SYS_REBOOT	CALL(169, 88)
#define SYS_GETDENTS64	CALL(217, 220)

#define O_RDONLY	0
#define O_RDWR		02
#define O_NOCTTY	0400
#define O_LARGEFILE	0100000		// i386: files of 2 GiB and more
#define O_DIRECTORY	0200000

#define EINTR		4
#define EAGAIN		11

// A negative result is an error number.
static inline long syscall5(long number, long a, long b, long c, long d, long e)
{
	long result;

#ifdef __x86_64__
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
#endif
	return result;
}

static inline long syscall3(long number, long a, long b, long c)
{
	return syscall5(number, a, b, c, 0, 0);
}

static inline long sys_open(const char *path, int flags)
{
	return syscall3(SYS_OPEN, (long)path, flags | O_LARGEFILE, 0);
}

static inline long sys_read(int fd, void *buffer, size_t size)
{
	return syscall3(SYS_READ, fd, (long)buffer, size);
}

static inline long sys_write(int fd, const void *buffer, size_t size)
{
	return syscall3(SYS_WRITE, fd, (long)buffer, size);
}

static inline void sys_close(int fd)
{
	syscall3(SYS_CLOSE, fd, 0, 0);
}
