/* What penstock top shows, as text. Pure. */
#ifndef OPS_CLI_TOP_VIEW_H
#define OPS_CLI_TOP_VIEW_H

#include <base/clock.h>
#include <base/json.h>

enum top_sort { TOP_BY_NAME, TOP_BY_AGE, TOP_BY_WAITING, TOP_BY_DEAD, TOP_SORT_MAX };

enum { TOP_QUEUES_MAX = 256, TOP_NAME_BYTES = 65 };

struct top_view {
    const char *url;
    json_t *snapshot; /* the latest of GET /v1/live; NULL: not there yet */
    enum top_sort sort;
    char selected[TOP_NAME_BYTES]; /* a queue's name; "": the first */
    const char *message;           /* one line; "": none */
    bool color;
};

/* The selected queue's row; NULL: there is none. */
const json_t *top_selected(const struct top_view *v);
/* Selects the one that many rows further down, or up. */
void top_move(struct top_view *v, int by);

/* Lines, at most rows of them, each at most so many columns wide (SGR apart). */
void top_write(const struct top_view *v, int rows, int columns, struct wall now, struct buf *out);

#endif
