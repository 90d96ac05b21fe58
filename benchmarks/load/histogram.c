#include "histogram.h"

#include <stdio.h>

/* Below SUBS a bucket a value; above, SUBS buckets for each doubling. */
static unsigned bucket_of(uint64_t ns) {
    if (ns < SUBS) return (unsigned)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    return (shift + 1) * SUBS + (unsigned)((ns >> shift) - SUBS);
}

static uint64_t top_of(unsigned bucket) {
    if (bucket < SUBS) return bucket;
    unsigned shift = bucket / SUBS - 1;
    return ((uint64_t)(bucket % SUBS + SUBS + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, int64_t ns) {
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    h->counts[bucket_of(value)]++;
    h->total++;
    h->sum += (double)value;
    if (value > h->highest) h->highest = value;
}

static double percentile_ms(const struct histogram *h, double share) {
    uint64_t wanted = (uint64_t)(share * (double)h->total + 0.999999), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->counts[i];
        if (h->counts[i] && seen >= wanted) {
            uint64_t top = top_of(i);
            return (double)(top < h->highest ? top : h->highest) / 1e6;
        }
    }
    return (double)h->highest / 1e6;
}

void histogram_print(const struct histogram *h, const char *name) {
    printf("\"%s\": {\"count\": %llu", name, (unsigned long long)h->total);
    if (h->total)
        printf(", \"mean\": %.4f, \"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"p999\": %.4f, "
               "\"max\": %.4f",
               h->sum / (double)h->total / 1e6, percentile_ms(h, 0.5), percentile_ms(h, 0.9),
               percentile_ms(h, 0.99), percentile_ms(h, 0.999), (double)h->highest / 1e6);
    printf("}");
}
