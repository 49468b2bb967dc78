/* Load on an iSCSI disk through libiscsi: one thread, any number of sessions, each with `qd` commands under way. What
 * is under way when the time is up is waited for, and not counted.
 *
 *   libiscsi url=iscsi://HOST:PORT/NAME/LUN rw=read|write|mixed bs=BYTES qd=N sessions=N seconds=S
 *            [order=random|seq] [span=BYTES] [digest=none|header] [fua=0|1] [seed=N] */
#include "measure.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>

struct session {
	struct iscsi_context *iscsi;
	int lun, under_way;
	uint64_t first, end, next; /* the session's part of the disk, in blocks of `block` bytes */
};

struct command {
	struct session *session;
	struct scsi_iovec data;
	uint64_t sent;
};

static struct latencies all;
static uint64_t block, blocks, logical_block, seed;
static const char *rw, *order, *url_text;
static int fua, stopping;

static _Noreturn void complain(struct session *session, const char *what)
{
	fprintf(stderr, "libiscsi: %s: %s\n", what, iscsi_get_error(session->iscsi));
	exit(1);
}

static void issue(struct command *command);

static void done(struct iscsi_context *iscsi, int status, void *task, void *data)
{
	struct command *command = data;

	(void)iscsi;
	command->session->under_way--;
	if (status != SCSI_STATUS_GOOD)
		complain(command->session, "a command did not end GOOD");
	scsi_free_scsi_task(task);
	if (!stopping) {
		count_latency(&all, now_ns() - command->sent);
		issue(command);
	}
}

static uint64_t next_place(struct session *session)
{
	if (strcmp(order, "seq"))
		return random_number(&seed) % blocks;
	uint64_t place = session->next++;

	if (session->next == session->end)
		session->next = session->first;
	return place;
}

static void issue(struct command *command)
{
	struct session *session = command->session;
	uint64_t address = next_place(session) * (block / logical_block);
	int write = *rw == 'w' || (*rw == 'm' && random_number(&seed) % 10 >= 7);
	struct scsi_task *task;

	command->sent = now_ns();
	if (write)
		task = iscsi_write16_iov_task(session->iscsi, session->lun, address, NULL, (uint32_t)block,
					      (int)logical_block, 0, 0, fua, 0, 0, done, command, &command->data, 1);
	else
		task = iscsi_read16_iov_task(session->iscsi, session->lun, address, (uint32_t)block,
					     (int)logical_block, 0, 0, 0, 0, 0, done, command, &command->data, 1);
	if (!task)
		complain(session, "cannot send a command");
	session->under_way++;
}

static void log_in(struct session *session, int number, int digest, uint64_t span)
{
	char name[64];

	snprintf(name, sizeof name, "iqn.2026-01.bench.libiscsi:%d", number);
	session->iscsi = iscsi_create_context(name);
	struct iscsi_url *url = iscsi_parse_full_url(session->iscsi, url_text);

	if (!url)
		complain(session, "the URL");
	session->lun = url->lun;
	iscsi_set_targetname(session->iscsi, url->target);
	iscsi_set_session_type(session->iscsi, ISCSI_SESSION_NORMAL);
	iscsi_set_header_digest(session->iscsi, digest ? ISCSI_HEADER_DIGEST_CRC32C : ISCSI_HEADER_DIGEST_NONE);
	iscsi_set_noautoreconnect(session->iscsi, 1);
	if (iscsi_full_connect_sync(session->iscsi, url->portal, url->lun))
		complain(session, "login");
	iscsi_destroy_url(url);

	struct scsi_task *task = iscsi_readcapacity16_sync(session->iscsi, session->lun);
	struct scsi_readcapacity16 *capacity = task && !task->status ? scsi_datain_unmarshall(task) : NULL;

	if (!capacity)
		complain(session, "READ CAPACITY(16)");
	logical_block = capacity->block_length;
	uint64_t size = (capacity->returned_lba + 1) * logical_block;

	scsi_free_scsi_task(task);
	blocks = (span && span < size ? span : size) / block;
}

static void start_commands(struct session *session, uint64_t depth)
{
	struct command *commands = calloc(depth, sizeof *commands);

	for (uint64_t i = 0; i < depth; i++) {
		uint64_t *data = aligned_alloc(4096, (block + 4095) & ~(uint64_t)4095);

		for (uint64_t at = 0; at < block / 8; at++)
			data[at] = random_number(&seed);
		commands[i].session = session;
		commands[i].data = (struct scsi_iovec){ .iov_base = data, .iov_len = block };
		issue(&commands[i]);
	}
}

/* Serves every session until its commands have ended. Gives the time when counting stopped. */
static uint64_t serve(struct session *sessions, nfds_t count, uint64_t end, double *cpu)
{
	struct pollfd *polls = calloc(count, sizeof *polls);
	uint64_t stopped = 0;
	int busy = 1;

	while (busy) {
		if (!stopping && now_ns() >= end) {
			stopping = 1;
			stopped = now_ns();
			*cpu = cpu_seconds(RUSAGE_SELF);
		}
		for (nfds_t i = 0; i < count; i++) {
			polls[i].fd = iscsi_get_fd(sessions[i].iscsi);
			polls[i].events = (short)iscsi_which_events(sessions[i].iscsi);
		}
		if (poll(polls, count, 100) < 0)
			fail("poll");
		busy = !stopping;
		for (nfds_t i = 0; i < count; i++) {
			if (polls[i].revents && iscsi_service(sessions[i].iscsi, polls[i].revents) < 0)
				complain(&sessions[i], "the connection was lost");
			busy |= sessions[i].under_way > 0;
		}
	}
	free(polls);
	return stopped;
}

int main(int argument_count, char **arguments)
{
	uint64_t depth = number_argument(arguments, "qd", NULL), span = number_argument(arguments, "span", "0");
	uint64_t count = number_argument(arguments, "sessions", "1");
	double seconds = strtod(argument(arguments, "seconds", NULL), NULL), cpu = 0;
	int digest = !strcmp(argument(arguments, "digest", "none"), "header");
	struct session *sessions = calloc(count, sizeof *sessions);

	(void)argument_count;
	url_text = argument(arguments, "url", NULL);
	rw = argument(arguments, "rw", NULL);
	order = argument(arguments, "order", "random");
	block = number_argument(arguments, "bs", NULL);
	fua = (int)number_argument(arguments, "fua", "0");
	seed = 88172645463325252u ^ (number_argument(arguments, "seed", "0") * 0x9E3779B97F4A7C15u);
	for (uint64_t i = 0; i < count; i++)
		log_in(&sessions[i], (int)i, digest, span);
	for (uint64_t i = 0; i < count; i++) {
		sessions[i].first = sessions[i].next = blocks * i / count;
		sessions[i].end = blocks * (i + 1) / count;
	}
	double before = cpu_seconds(RUSAGE_SELF);
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < count; i++)
		start_commands(&sessions[i], depth);
	uint64_t stopped = serve(sessions, count, start + (uint64_t)(seconds * 1e9), &cpu);

	print_result(&all, block, (double)(stopped - start) / 1e9, cpu - before, -1);
	for (uint64_t i = 0; i < count; i++) {
		iscsi_logout_sync(sessions[i].iscsi);
		iscsi_destroy_context(sessions[i].iscsi);
	}
	return 0;
}
