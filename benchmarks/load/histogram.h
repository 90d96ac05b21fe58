/* Latencies in nanoseconds, kept to within 1.6 % whatever their size. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS) * SUBS };

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total, highest;
    double sum;
};

void histogram_add(struct histogram *h, int64_t ns);
void histogram_print(const struct histogram *h, const char *name); /* "name": {…} in ms */

#endif
