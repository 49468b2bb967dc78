/* What one TCP connection over loopback carries: one process sends blocks, another receives them.
 *
 *   stream bs=BYTES seconds=S */
#define _GNU_SOURCE
#include "measure.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void send_until_the_end(int listener, size_t block)
{
	int connection = accept(listener, NULL, NULL);
	char *data = calloc(1, block);

	while (send(connection, data, block, MSG_NOSIGNAL) > 0)
		;
	exit(0);
}

int main(int count, char **arguments)
{
	static struct latencies all;
	size_t block = number_argument(arguments, "bs", NULL);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)count;
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length))
		fail("cannot listen on loopback");
	if (fork() == 0)
		send_until_the_end(listener, block);

	int connection = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(connection, (struct sockaddr *)&address, length))
		fail("connect");

	char *data = malloc(block);
	double before = cpu_seconds(RUSAGE_SELF);
	uint64_t start = now_ns(), end = start + (uint64_t)(strtod(argument(arguments, "seconds", NULL), NULL) * 1e9);
	uint64_t time = start, last = start, partial = 0;

	while (time < end) {
		ssize_t got = recv(connection, data, block, 0);

		if (got <= 0)
			fail("the sender went away");
		time = now_ns();
		for (partial += (uint64_t)got; partial >= block; partial -= block, last = time)
			count_latency(&all, time - last);
	}
	double client_cpu = cpu_seconds(RUSAGE_SELF) - before;

	close(connection);
	wait(NULL);
	print_result(&all, block, (double)(time - start) / 1e9, client_cpu, cpu_seconds(RUSAGE_CHILDREN));
	return 0;
}
