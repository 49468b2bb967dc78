/* What every program of the bench measures alike: time, CPU time, and latencies with their percentiles. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Latencies in nanoseconds, in buckets a 64th of their value wide: small enough to stay in the cache. */
enum { FINE_BITS = 6, FINE = 1 << FINE_BITS, BUCKETS = 40 << FINE_BITS };

struct latencies {
	uint64_t count, buckets[BUCKETS];
};

static inline uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* CPU seconds of RUSAGE_SELF or RUSAGE_CHILDREN, user and system. */
static inline double cpu_seconds(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static inline void count_latency(struct latencies *all, uint64_t ns)
{
	uint64_t bucket = ns;

	if (ns >= FINE) {
		int shift = 63 - __builtin_clzll(ns) - FINE_BITS;

		bucket = ((uint64_t)shift << FINE_BITS) + (ns >> shift);
	}
	all->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	all->count++;
}

/* The latency in microseconds that this share of all (0 to 1) does not pass. */
static inline double percentile_us(const struct latencies *all, double share)
{
	uint64_t wanted = (uint64_t)((double)all->count * share), seen = 0;

	for (uint64_t bucket = 0; bucket < BUCKETS; bucket++) {
		seen += all->buckets[bucket];
		if (seen > wanted || seen == all->count) {
			uint64_t shift = bucket < 2 * FINE ? 0 : (bucket >> FINE_BITS) - 1;

			return (double)((bucket - (shift << FINE_BITS)) << shift) / 1000;
		}
	}
	return 0;
}

/* A random number, never the same twice in a run (xorshift). */
static inline uint64_t random_number(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Says what went wrong, and ends the program. */
static inline _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* The value of KEY in arguments of the form KEY=VALUE, or `otherwise`. */
static inline const char *argument(char **arguments, const char *key, const char *otherwise)
{
	size_t length = strlen(key);

	for (char **one = arguments + 1; *one; one++)
		if (!strncmp(*one, key, length) && (*one)[length] == '=')
			return *one + length + 1;
	if (!otherwise) {
		fprintf(stderr, "%s: %s=... is missing\n", arguments[0], key);
		exit(2);
	}
	return otherwise;
}

static inline uint64_t number_argument(char **arguments, const char *key, const char *otherwise)
{
	return strtoull(argument(arguments, key, otherwise), NULL, 10);
}

/* One JSON object, as `timedisk bench --json` has it. `server_cpu` is negative where there is no server. */
static inline void print_result(const struct latencies *all, uint64_t bytes, double seconds, double client_cpu,
				double server_cpu)
{
	double rate = (double)all->count / seconds;

	printf("{\"commands\": %llu, \"seconds\": %.6f, \"commands_per_second\": %.1f, \"bytes_per_second\": %.1f, ",
	       (unsigned long long)all->count, seconds, rate, rate * (double)bytes);
	printf("\"latency_us\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"p999\": %.2f}, ",
	       percentile_us(all, 0.5), percentile_us(all, 0.9), percentile_us(all, 0.99), percentile_us(all, 0.999));
	printf("\"client_cpu_seconds\": %.6f, \"server\": ", client_cpu);
	if (server_cpu < 0)
		printf("null}\n");
	else
		printf("{\"cpu_seconds\": %.6f}}\n", server_cpu);
}

#endif
