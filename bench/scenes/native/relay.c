/* A long line between two network namespaces: a tunnel device at each end, and this program between them. It sends at
 * a given rate, each packet for as long as it would be on an Ethernet wire, and delivers it a given time later.
 *   relay NAMESPACE NAMESPACE MEGABITS MICROSECONDS-ONE-WAY
 * Packets may be larger than the MTU: the kernel leaves it to the device to cut them up (TSO), and takes them so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
	LARGEST = 65536 + 128,
	SLOTS = 4096,
	ON_WIRE = 38, /* Ethernet's preamble, header, checksum and gap */
	HEADERS = 52, /* of IPv4 and of TCP with time stamps: repeated in each part of a large packet */
	LONGEST_QUEUE_BYTES = 16 << 20,
};

struct packet {
	uint64_t due;
	int length;
	char bytes[LARGEST];
};

struct direction {
	int from, to;
	uint64_t wire_free; /* when the wire has sent all that came before */
	unsigned head, tail;
	struct packet *packets;
};

static void die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static int open_device(const char *namespace)
{
	char path[128];
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int space, device;

	snprintf(path, sizeof path, "/run/netns/%s", namespace);
	space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET) < 0)
		die(path);
	close(space);
	device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strcpy(request.ifr_name, "scene0");
	if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0)
		die("/dev/net/tun");
	if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
		die("TUNSETOFFLOAD");
	return device;
}

static uint64_t wire_bytes(const struct packet *packet)
{
	const struct virtio_net_hdr *header = (const void *)packet->bytes;
	uint64_t length = packet->length - sizeof *header, parts = 1;

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE && header->gso_size > 0 && length > HEADERS)
		parts = (length - HEADERS + header->gso_size - 1) / header->gso_size;
	return length + (parts - 1) * HEADERS + parts * ON_WIRE;
}

static void take(struct direction *direction, uint64_t megabits, uint64_t delay)
{
	for (;;) {
		struct packet *packet = &direction->packets[direction->tail % SLOTS];
		uint64_t time, bytes;

		if (direction->tail - direction->head == SLOTS)
			return; /* the device keeps the rest */
		packet->length = read(direction->from, packet->bytes, LARGEST);
		if (packet->length < 0 && errno != EAGAIN)
			die("read");
		if (packet->length <= 0)
			return;
		time = now();
		bytes = wire_bytes(packet);
		if (direction->wire_free < time)
			direction->wire_free = time;
		if ((direction->wire_free - time) * megabits / 8000 > LONGEST_QUEUE_BYTES)
			continue; /* lost, as with any router that is full */
		direction->wire_free += bytes * 8000 / megabits;
		packet->due = direction->wire_free + delay;
		direction->tail++;
	}
}

/* Delivers what is due, and says when the next packet will be. */
static uint64_t deliver(struct direction *direction)
{
	while (direction->head != direction->tail) {
		struct packet *packet = &direction->packets[direction->head % SLOTS];

		if (packet->due > now())
			return packet->due;
		if (write(direction->to, packet->bytes, packet->length) < 0 && errno != EAGAIN && errno != EIO)
			die("write");
		direction->head++;
	}
	return UINT64_MAX;
}

int main(int count, char **words)
{
	struct direction ways[2] = {0};

	if (count != 5)
		return fprintf(stderr, "usage: relay NAMESPACE NAMESPACE MEGABITS MICROSECONDS\n"), 2;
	prctl(PR_SET_TIMERSLACK, 1000UL);
	ways[0].from = ways[1].to = open_device(words[1]);
	ways[1].from = ways[0].to = open_device(words[2]);
	for (int i = 0; i < 2; i++)
		ways[i].packets = calloc(SLOTS, sizeof *ways[i].packets);
	for (;;) {
		struct pollfd polled[2];
		uint64_t next = UINT64_MAX, time;
		struct timespec wait = {0};

		for (int i = 0; i < 2; i++) {
			uint64_t due;
			take(&ways[i], strtoull(words[3], NULL, 10), strtoull(words[4], NULL, 10) * 1000);
			due = deliver(&ways[i]);
			next = due < next ? due : next;
			polled[i] = (struct pollfd){.fd = ways[i].from, .events = POLLIN};
			if (ways[i].tail - ways[i].head == SLOTS)
				polled[i].fd = -1;
		}
		time = now();
		if (next != UINT64_MAX && next > time)
			wait.tv_nsec = (next - time) % 1000000000, wait.tv_sec = (next - time) / 1000000000;
		if (ppoll(polled, 2, next == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
			die("poll");
	}
}
