/* What metrics.c and metrics_render.c share: the families. */
#ifndef BASE_METRICS_PRIVATE_H
#define BASE_METRICS_PRIVATE_H

#include <base/metrics.h>

struct family {
    enum { COUNTER, GAUGE, HISTOGRAM } kind;
    struct str name;    /* with prefix */
    const char *labels; /* names, comma separated */
    const char *help;
};

extern const struct family metric_families[M_MAX];

#endif
