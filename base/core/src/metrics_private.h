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

/* What a line of a snapshot begins with that is the exemplar of the line behind it; what follows is as in OpenMetrics. */
#define EXEMPLAR_MARK "#exemplar "

extern const struct family metric_families[M_MAX];

#endif
