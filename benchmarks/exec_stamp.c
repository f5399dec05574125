// Stands in front of QEMU on PATH: notes the time of the exec, then becomes the real program.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	int fd = open(getenv("EXEC_STAMP"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	(void)argc;
	clock_gettime(CLOCK_MONOTONIC, &now);
	dprintf(fd, "%lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
	close(fd);
	execv(getenv("EXEC_REAL"), argv);
	return 127;
}
