/* Load on iSCSI disks through libiscsi: one thread, any number of sessions. Arguments are KEY=VALUE:
 *   url=iscsi://...  rw=read|write  bs=BYTES  qd=N  sessions=N  seconds=S  span=BYTES  order=seq|random  fua=0|1
 * `url` may be given several times; sessions go round them. Nothing new is sent after `seconds`; what is under way is
 * waited for and counts, with the time it took. The result is one JSON object on stdout. */
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_URLS = 1024, BUCKETS = 1 << 21 };

struct session {
	struct iscsi_context *iscsi;
	int lun;
	uint64_t first, end, next; /* in transfers */
};

struct command {
	struct session *session;
	struct scsi_iovec vector;
	uint64_t sent;
};

static const char *urls[MAX_URLS];
static int url_count, writes, random_order, fua, depth = 1, sessions = 1, stopping, under_way;
static uint32_t transfer = 4096, block;
static double seconds = 1;
static uint64_t span, done, state = 0x9e3779b97f4a7c15ULL, longest, shortest = UINT64_MAX, total_latency;
static uint32_t histogram[BUCKETS]; /* by microsecond; the last one has all that took longer */

static void die(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static uint64_t chance(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static void send_next(struct command *command);

static void ended(struct iscsi_context *iscsi, int status, void *data, void *private)
{
	struct command *command = private;
	uint64_t nanoseconds = now() - command->sent, bucket = nanoseconds / 1000;

	if (status != SCSI_STATUS_GOOD)
		die("a command did not end GOOD", iscsi_get_error(iscsi));
	scsi_free_scsi_task(data);
	under_way--;
	done++;
	total_latency += nanoseconds;
	longest = nanoseconds > longest ? nanoseconds : longest;
	shortest = nanoseconds < shortest ? nanoseconds : shortest;
	histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	if (!stopping)
		send_next(command);
}

static void send_next(struct command *command)
{
	struct session *session = command->session;
	uint64_t place = session->next++, lba;
	struct scsi_task *task;

	if (session->next >= session->end)
		session->next = session->first;
	if (random_order)
		place = session->first + chance() % (session->end - session->first);
	lba = place * (transfer / block);
	command->sent = now();
	if (writes)
		task = iscsi_write16_iov_task(session->iscsi, session->lun, lba, NULL, transfer, block, 0, 0, fua, 0, 0,
					      ended, command, &command->vector, 1);
	else
		task = iscsi_read16_iov_task(session->iscsi, session->lun, lba, transfer, block, 0, 0, 0, 0, 0, ended,
					     command, &command->vector, 1);
	if (task == NULL)
		die("sending", iscsi_get_error(session->iscsi));
	under_way++;
}

static void open_session(struct session *session, int number)
{
	char name[64];
	struct scsi_readcapacity16 *capacity;
	struct scsi_task *task;
	struct iscsi_url *url;
	uint64_t size;

	snprintf(name, sizeof name, "iqn.2026-01.scene.load:%d", number);
	session->iscsi = iscsi_create_context(name);
	url = iscsi_parse_full_url(session->iscsi, urls[number % url_count]);
	if (url == NULL)
		die("url", iscsi_get_error(session->iscsi));
	iscsi_set_targetname(session->iscsi, url->target);
	iscsi_set_session_type(session->iscsi, ISCSI_SESSION_NORMAL);
	iscsi_set_header_digest(session->iscsi, ISCSI_HEADER_DIGEST_NONE);
	iscsi_set_noautoreconnect(session->iscsi, 1);
	session->lun = url->lun;
	if (iscsi_full_connect_sync(session->iscsi, url->portal, url->lun) != 0)
		die("login", iscsi_get_error(session->iscsi));
	task = iscsi_readcapacity16_sync(session->iscsi, url->lun);
	if (task == NULL || task->status != SCSI_STATUS_GOOD || (capacity = scsi_datain_unmarshall(task)) == NULL)
		die("READ CAPACITY(16)", iscsi_get_error(session->iscsi));
	block = capacity->block_length;
	size = (capacity->returned_lba + 1) * block;
	scsi_free_scsi_task(task);
	iscsi_destroy_url(url);
	if (span != 0 && span < size)
		size = span;
	session->first = size / transfer * number / sessions;
	session->end = size / transfer * (number + 1) / sessions;
	session->next = session->first;
	if (session->first == session->end)
		die("span", "it is shorter than one transfer for each session");
}

static void run(struct session *all, uint64_t end)
{
	struct pollfd *polled = calloc(sessions, sizeof *polled);

	while (under_way > 0) {
		uint64_t time = now();
		if (time >= end)
			stopping = 1;
		if (time > end + 60000000000ULL)
			die("run", "commands did not end within 60 seconds");
		for (int i = 0; i < sessions; i++) {
			polled[i].fd = iscsi_get_fd(all[i].iscsi);
			polled[i].events = iscsi_which_events(all[i].iscsi);
		}
		if (poll(polled, sessions, 100) < 0)
			die("poll", "failed");
		for (int i = 0; i < sessions; i++)
			if (polled[i].revents != 0 && iscsi_service(all[i].iscsi, polled[i].revents) < 0)
				die("session lost", iscsi_get_error(all[i].iscsi));
	}
	free(polled);
}

static double processor_seconds(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static unsigned at_most(double share)
{
	uint64_t wanted = share * done, seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		if ((seen += histogram[i]) > wanted)
			return i;
	return BUCKETS - 1;
}

static void report(double elapsed, double processor)
{
	printf("{\"commands\": %llu, \"seconds\": %.6f, \"commands_per_second\": %.2f, \"bytes_per_second\": %.1f, ",
	       (unsigned long long)done, elapsed, done / elapsed, (double)done * transfer / elapsed);
	printf("\"latency_us\": {\"min\": %.1f, \"mean\": %.1f, \"p50\": %u, \"p90\": %u, \"p99\": %u, \"p999\": %u, "
	       "\"max\": %.1f}, \"client_cpu_seconds\": %.4f}\n", shortest / 1e3, total_latency / 1e3 / done, at_most(.5),
	       at_most(.9), at_most(.99), at_most(.999), longest / 1e3, processor);
}

static void argument(const char *word)
{
	const char *value = strchr(word, '=');

	if (value++ == NULL)
		die(word, "expected KEY=VALUE");
	if (strncmp(word, "url=", 4) == 0 && url_count < MAX_URLS)
		urls[url_count++] = value;
	else if (strncmp(word, "rw=", 3) == 0)
		writes = strcmp(value, "write") == 0;
	else if (strncmp(word, "bs=", 3) == 0)
		transfer = strtoul(value, NULL, 10);
	else if (strncmp(word, "qd=", 3) == 0)
		depth = atoi(value);
	else if (strncmp(word, "sessions=", 9) == 0)
		sessions = atoi(value);
	else if (strncmp(word, "seconds=", 8) == 0)
		seconds = atof(value);
	else if (strncmp(word, "span=", 5) == 0)
		span = strtoull(value, NULL, 10);
	else if (strncmp(word, "order=", 6) == 0)
		random_order = strcmp(value, "random") == 0;
	else if (strncmp(word, "fua=", 4) == 0)
		fua = atoi(value);
	else
		die(word, "not known");
}

int main(int count, char **words)
{
	struct session *all;
	struct command *commands;
	uint64_t start;
	double processor;

	for (int i = 1; i < count; i++)
		argument(words[i]);
	if (url_count == 0 || transfer == 0 || depth < 1 || sessions < 1)
		die("arguments", "url= is needed; bs, qd and sessions are at least 1");
	all = calloc(sessions, sizeof *all);
	commands = calloc((size_t)sessions * depth, sizeof *commands);
	for (int i = 0; i < sessions; i++)
		open_session(&all[i], i);
	for (int i = 0; i < sessions * depth; i++) {
		commands[i].session = &all[i % sessions];
		commands[i].vector.iov_len = transfer;
		commands[i].vector.iov_base = malloc(transfer);
		for (uint32_t at = 0; at + 8 <= transfer; at += 8)
			memcpy((char *)commands[i].vector.iov_base + at, &(uint64_t){chance()}, 8);
	}
	start = now();
	processor = processor_seconds();
	for (int i = 0; i < sessions * depth; i++)
		send_next(&commands[i]);
	run(all, start + (uint64_t)(seconds * 1e9));
	report((now() - start) / 1e9, processor_seconds() - processor);
	for (int i = 0; i < sessions; i++) {
		iscsi_logout_sync(all[i].iscsi);
		iscsi_destroy_context(all[i].iscsi);
	}
	return 0;
}
