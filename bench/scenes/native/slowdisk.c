/* A disk that is slow, for those who flood it: a file system (FUSE) with one file, `disk`, kept in memory. It has one
 * arm: it does one thing after the other, and writes so many bytes a second (0: as many as come). A sync takes so many
 * microseconds, in which it goes on with other things.
 *   slowdisk DIRECTORY BYTES BYTES-A-SECOND SYNC-MICROSECONDS
 * It says "ready" once it is mounted; it is there until it is unmounted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_WRITE = 1 << 20, REQUEST_ROOM = LARGEST_WRITE + 65536, DISK = 2 };

static int device;
static uint64_t size, rate, sync_microseconds;
static char *content;

static void die(const char *what)
{
	fprintf(stderr, "slowdisk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void answer(const struct fuse_in_header *to, int error, const void *data, size_t length)
{
	struct fuse_out_header header = {.len = sizeof header + length, .error = -error, .unique = to->unique};
	struct iovec parts[2] = {{&header, sizeof header}, {(void *)data, length}};

	/* Who was interrupted waits no longer: that is no mistake. */
	if (writev(device, parts, 2) < 0 && errno != ENOENT)
		die("answering");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr all = {.ino = node, .nlink = 1, .blksize = 4096};

	if (node == DISK) {
		all.mode = S_IFREG | 0600;
		all.size = size;
		all.blocks = size / 512;
	} else {
		all.mode = S_IFDIR | 0500;
	}
	return all;
}

static void begin(const struct fuse_in_header *header, const struct fuse_init_in *offer)
{
	struct fuse_init_out reply = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_readahead = offer->max_readahead,
		.flags = (FUSE_BIG_WRITES | FUSE_MAX_PAGES) & offer->flags, .max_background = 64,
		.congestion_threshold = 48, .max_write = LARGEST_WRITE, .time_gran = 1, .max_pages = LARGEST_WRITE / 4096,
	};
	answer(header, 0, &reply, sizeof reply);
}

static void find(const struct fuse_in_header *header, const char *name)
{
	struct fuse_entry_out reply = {.nodeid = DISK, .generation = 1, .entry_valid = 60, .attr_valid = 60};

	reply.attr = attributes(DISK);
	if (strcmp(name, "disk") == 0)
		answer(header, 0, &reply, sizeof reply);
	else
		answer(header, ENOENT, NULL, 0);
}

static void tell_attributes(const struct fuse_in_header *header)
{
	struct fuse_attr_out reply = {.attr_valid = 60, .attr = attributes(header->nodeid)};
	answer(header, 0, &reply, sizeof reply);
}

static void rest(uint64_t nanoseconds)
{
	struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};

	nanosleep(&time, NULL);
}

static void write_some(const struct fuse_in_header *header, const struct fuse_write_in *what)
{
	struct fuse_write_out reply = {.size = what->size};

	if (what->offset > size || what->size > size - what->offset) {
		answer(header, ENOSPC, NULL, 0);
		return;
	}
	if (rate != 0)
		rest(what->size * 1000000000ULL / rate);
	memcpy(content + what->offset, what + 1, what->size);
	answer(header, 0, &reply, sizeof reply);
}

static void read_some(const struct fuse_in_header *header, const struct fuse_read_in *what)
{
	uint64_t length = what->offset >= size ? 0 : size - what->offset;

	answer(header, 0, content + (length ? what->offset : 0), length < what->size ? length : what->size);
}

static void *end_sync(void *header)
{
	rest(sync_microseconds * 1000);
	answer(header, 0, NULL, 0);
	free(header);
	return NULL;
}

static void sync_all(const struct fuse_in_header *header)
{
	struct fuse_in_header *copy = malloc(sizeof *copy);
	pthread_t thread;

	if (copy == NULL)
		die("memory");
	*copy = *header;
	if ((errno = pthread_create(&thread, NULL, end_sync, copy)) != 0)
		die("thread");
	pthread_detach(thread);
}

static void serve(const struct fuse_in_header *header)
{
	struct fuse_open_out opened = {0};
	struct fuse_statfs_out space = {.st = {.bsize = 4096, .frsize = 4096, .blocks = size / 4096, .namelen = 255}};
	const void *body = header + 1;

	switch (header->opcode) {
	case FUSE_INIT: return begin(header, body);
	case FUSE_LOOKUP: return find(header, body);
	case FUSE_GETATTR:
	case FUSE_SETATTR: return tell_attributes(header);
	case FUSE_OPEN:
	case FUSE_OPENDIR: return answer(header, 0, &opened, sizeof opened);
	case FUSE_READ: return read_some(header, body);
	case FUSE_WRITE: return write_some(header, body);
	case FUSE_STATFS: return answer(header, 0, &space, sizeof space);
	case FUSE_FSYNC: return sync_all(header);
	case FUSE_READDIR:
	case FUSE_FSYNCDIR:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR: return answer(header, 0, NULL, 0);
	case FUSE_CREATE:
	case FUSE_MKNOD: return answer(header, EROFS, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT: return;
	default: return answer(header, ENOSYS, NULL, 0);
	}
}

int main(int count, char **words)
{
	static char request[REQUEST_ROOM] __attribute__((aligned(8)));
	char options[128];

	if (count != 5)
		return fprintf(stderr, "usage: slowdisk DIRECTORY BYTES BYTES-A-SECOND SYNC-MICROSECONDS\n"), 2;
	size = strtoull(words[2], NULL, 10);
	rate = strtoull(words[3], NULL, 10);
	sync_microseconds = strtoull(words[4], NULL, 10);
	content = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (content == MAP_FAILED || device < 0)
		die("/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
	if (mount("slowdisk", words[1], "fuse", MS_NODEV | MS_NOSUID, options) < 0)
		die("mount");
	puts("ready");
	fflush(stdout);
	for (;;) {
		ssize_t length = read(device, request, sizeof request);
		if (length < 0 && errno == ENODEV)
			return 0;
		if (length < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			die("reading");
		if (length >= (ssize_t)sizeof(struct fuse_in_header))
			serve((const void *)request);
	}
}
