/* The most that a server of blocks over one TCP connection on this machine could do: no protocol, no checks, no
 * threads beside the two ends. A request has 48 bytes, and a write's data after them; an answer has 48 bytes, and a
 * read's data after them. The server takes whatever one receive brought, does it with pread or pwrite on a file, and
 * answers all of it with one send. The client keeps `qd` requests under way.
 *
 *   exchange file=PATH rw=read|write bs=BYTES qd=N seconds=S [order=random|seq] [span=BYTES] [seed=N] */
#define _GNU_SOURCE
#include "measure.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADER = 48, BATCH_BYTES = 512 << 10, MOST_IN_BATCH = 256 };

static int file;
static size_t block;
static int writes, sequential;
static uint64_t blocks, position, seed;

static void no_delay(int connection)
{
	int one = 1;

	if (setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
		fail("TCP_NODELAY");
}

/* How many commands of this size the server takes at once. */
static size_t batch_of(size_t size)
{
	size_t count = BATCH_BYTES / size;

	return count < 1 ? 1 : count > MOST_IN_BATCH ? MOST_IN_BATCH : count;
}

static void send_all(int connection, struct iovec *pieces, size_t count)
{
	while (count) {
		struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count < 1024 ? count : 1024 };
		ssize_t sent = sendmsg(connection, &message, MSG_NOSIGNAL);

		if (sent < 0)
			exit(1);
		while (count && (size_t)sent >= pieces->iov_len) {
			sent -= (ssize_t)pieces->iov_len;
			pieces++;
			count--;
		}
		if (count) {
			pieces->iov_base = (char *)pieces->iov_base + sent;
			pieces->iov_len -= (size_t)sent;
		}
	}
}

static off_t place_of(const char *header)
{
	uint64_t number;

	memcpy(&number, header + 16, sizeof number);
	return (off_t)(number * block);
}

/* Requests are 48 bytes; the data of an answer begin on a page of their own. */
static void serve_reads(int connection)
{
	size_t most = batch_of(block + HEADER), have = 0, stride = block + 4096;
	char *requests = malloc(HEADER * most), *answers = aligned_alloc(4096, stride * most);
	struct iovec pieces[MOST_IN_BATCH];

	for (;;) {
		ssize_t got = recv(connection, requests + have, HEADER * most - have, 0);

		if (got <= 0)
			exit(got < 0);
		have += (size_t)got;
		size_t count = have / HEADER;

		for (size_t i = 0; i < count; i++) {
			char *data = answers + i * stride + 4096;

			if (pread(file, data, block, place_of(requests + i * HEADER)) != (ssize_t)block)
				exit(1);
			memcpy(data - HEADER, requests + i * HEADER, HEADER);
			pieces[i] = (struct iovec){ data - HEADER, HEADER + block };
		}
		have -= count * HEADER;
		memmove(requests, requests + count * HEADER, have);
		send_all(connection, pieces, count);
	}
}

static void serve_writes(int connection)
{
	size_t size = HEADER + block, most = batch_of(size), have = 0;
	char *requests = malloc(size * most), *answers = malloc(HEADER * most);

	for (;;) {
		ssize_t got = recv(connection, requests + have, size * most - have, 0);

		if (got <= 0)
			exit(got < 0);
		have += (size_t)got;
		size_t count = have / size;

		for (size_t i = 0; i < count; i++) {
			char *request = requests + i * size;

			if (pwrite(file, request + HEADER, block, place_of(request)) != (ssize_t)block)
				exit(1);
			memcpy(answers + i * HEADER, request, HEADER);
		}
		have -= count * size;
		if (count) {
			struct iovec piece = { answers, count * HEADER };

			memmove(requests, requests + count * size, have);
			send_all(connection, &piece, 1);
		}
	}
}

struct client {
	int connection;
	size_t depth;
	char *headers, *data;
	struct iovec *pieces;
	uint64_t *sent; /* when the request in each place was sent; answers come in order */
	size_t next, oldest;
};

static void issue(struct client *client, size_t count, uint64_t time)
{
	size_t pieces = 0;

	for (size_t i = 0; i < count; i++) {
		char *header = client->headers + client->next * HEADER;
		uint64_t number = (sequential ? position++ : random_number(&seed)) % blocks;

		memcpy(header + 16, &number, sizeof number);
		client->pieces[pieces++] = (struct iovec){ header, HEADER };
		if (writes)
			client->pieces[pieces++] = (struct iovec){ client->data, block };
		client->sent[client->next] = time;
		client->next = (client->next + 1) % client->depth;
	}
	send_all(client->connection, client->pieces, pieces);
}

/* Runs for some seconds, and prints the result once the server, which is a child, has ended. */
static void run(struct client *client, double seconds)
{
	static struct latencies all;
	size_t answer = HEADER + (writes ? 0 : block);
	size_t room = answer * client->depth > 1 << 20 ? 1 << 20 : answer * client->depth;
	char *answers = malloc(room);
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), time = start, partial = 0;
	double before = cpu_seconds(RUSAGE_SELF);

	issue(client, client->depth, start);
	while (time < end) {
		ssize_t got = recv(client->connection, answers, room, 0);

		if (got <= 0)
			fail("the server of the limit went away");
		partial += (uint64_t)got;
		size_t count = partial / answer;

		partial -= count * answer;
		time = now_ns();
		for (size_t i = 0; i < count; i++) {
			count_latency(&all, time - client->sent[client->oldest]);
			client->oldest = (client->oldest + 1) % client->depth;
		}
		if (count)
			issue(client, count, time);
	}
	double client_cpu = cpu_seconds(RUSAGE_SELF) - before;

	shutdown(client->connection, SHUT_RDWR);
	close(client->connection);
	wait(NULL);
	print_result(&all, block, (double)(time - start) / 1e9, client_cpu, cpu_seconds(RUSAGE_CHILDREN));
}

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (listener < 0 || bind(listener, (struct sockaddr *)address, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)address, &length))
		fail("cannot listen on loopback");
	return listener;
}

int main(int count, char **arguments)
{
	(void)count;
	writes = !strcmp(argument(arguments, "rw", NULL), "write");
	sequential = !strcmp(argument(arguments, "order", "random"), "seq");
	block = number_argument(arguments, "bs", NULL);
	seed = 88172645463325252u ^ (number_argument(arguments, "seed", "0") * 0x9E3779B97F4A7C15u);
	file = open(argument(arguments, "file", NULL), writes ? O_RDWR : O_RDONLY);
	if (file < 0)
		fail(argument(arguments, "file", NULL));
	uint64_t span = number_argument(arguments, "span", "0");

	blocks = (span ? span : (uint64_t)lseek(file, 0, SEEK_END)) / block;

	struct client client = { .depth = number_argument(arguments, "qd", NULL) };

	client.headers = calloc(client.depth, HEADER);
	client.pieces = calloc(2 * client.depth, sizeof *client.pieces);
	client.sent = calloc(client.depth, sizeof *client.sent);
	client.data = malloc(block);
	for (size_t at = 0; at + 8 <= block; at += 8)
		*(uint64_t *)(client.data + at) = random_number(&seed);

	struct sockaddr_in address;
	int listener = listen_on_loopback(&address);

	if (fork() == 0) {
		int connection = accept(listener, NULL, NULL);

		if (connection < 0)
			fail("accept");
		no_delay(connection);
		(writes ? serve_writes : serve_reads)(connection);
	}
	client.connection = socket(AF_INET, SOCK_STREAM, 0);
	if (client.connection < 0 || connect(client.connection, (struct sockaddr *)&address, sizeof address))
		fail("connect");
	no_delay(client.connection);
	run(&client, strtod(argument(arguments, "seconds", NULL), NULL));
	return 0;
}
