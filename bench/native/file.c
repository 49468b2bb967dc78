/* What the file system itself can do, with nothing between: one thread with pread or pwrite, and groups of writes with
 * one fdatasync each. With group=N, a command's latency is that of its whole group: from the group's first write to the
 * end of its sync.
 *
 *   file file=PATH rw=read|write bs=BYTES seconds=S [order=random|seq] [span=BYTES] [group=N] [seed=N] */
#define _GNU_SOURCE
#include "measure.h"

#include <fcntl.h>
#include <unistd.h>

static uint64_t next_block(int sequential, uint64_t *position, uint64_t *seed)
{
	return sequential ? (*position)++ : random_number(seed);
}

int main(int count, char **arguments)
{
	static struct latencies all;
	int writes = !strcmp(argument(arguments, "rw", NULL), "write");
	int sequential = !strcmp(argument(arguments, "order", "random"), "seq");
	uint64_t block = number_argument(arguments, "bs", NULL), group = number_argument(arguments, "group", "0");
	uint64_t seed = 88172645463325252u ^ (number_argument(arguments, "seed", "0") * 0x9E3779B97F4A7C15u);
	uint64_t span = number_argument(arguments, "span", "0"), position = 0;
	const char *path = argument(arguments, "file", NULL);
	int file = open(path, writes ? O_RDWR : O_RDONLY);

	(void)count;
	if (file < 0)
		fail(path);
	uint64_t blocks = (span ? span : (uint64_t)lseek(file, 0, SEEK_END)) / block;
	char *data = aligned_alloc(4096, (block + 4095) & ~(uint64_t)4095);

	for (uint64_t at = 0; at + 8 <= block; at += 8)
		*(uint64_t *)(data + at) = random_number(&seed);

	double before = cpu_seconds(RUSAGE_SELF);
	uint64_t start = now_ns(), end = start + (uint64_t)(strtod(argument(arguments, "seconds", NULL), NULL) * 1e9);
	uint64_t time = start;

	while (time < end) {
		uint64_t began = time, commands = group ? group : 1;

		for (uint64_t i = 0; i < commands; i++) {
			off_t place = (off_t)(next_block(sequential, &position, &seed) % blocks * block);
			ssize_t done = writes ? pwrite(file, data, block, place) : pread(file, data, block, place);

			if (done != (ssize_t)block)
				fail(path);
		}
		if (group && fdatasync(file))
			fail("fdatasync");
		time = now_ns();
		for (uint64_t i = 0; i < commands; i++)
			count_latency(&all, time - began);
	}
	print_result(&all, block, (double)(time - start) / 1e9, cpu_seconds(RUSAGE_SELF) - before, -1);
	return 0;
}
