/* Every decision about an order, as values. Nothing here does anything. */
#ifndef ORDERS_ORDER_H
#define ORDERS_ORDER_H

#include <base/err.h>
#include <base/ids.h>
#include <jansson.h>

struct edge {
    const char *from, *to;
};
extern const struct edge order_edges[];
extern const size_t order_edges_n;
bool order_edge_exists(struct str from, const char *to);

enum { ORDER_LINES_MAX = 100 };
#define ORDER_MONEY_MAX 9007199254740991 /* 2^53-1: what every JSON reader keeps exactly */

/* What order.place was asked for. Strings are borrowed from the payload. */
struct order_line {
    struct str sku, title;
    int64_t qty, unit_minor;
};
struct order_request {
    struct str customer_id, currency, token;
    bool capture;
    struct order_line lines[ORDER_LINES_MAX];
    size_t lines_n;
    int64_t total;
};
/* ERR_INVALID: not what the schema promises. ERR_TOO_LARGE: a total past ORDER_MONEY_MAX. */
MUST struct err order_read(const json_t *payload, struct order_request *out);
MUST struct err order_total(const struct order_line *lines, size_t n, int64_t *out);

/* What the rows said when they were read. */
struct order_row {
    bool exists;
    struct uuid id;
    struct str status, tenant, customer_id, token, view;
    char currency[4];
    int64_t version, total;
    bool capture;
    bool cancel_requested; /* of the flow that places it */
    bool place_is_over;    /* that flow's job is: dead, or done without an end of the order */
    bool closed;           /* the job that reads this has its effect */
    bool own;              /* it is being canceled by the job that reads this */
    bool late;             /* the deadline of the job that reads this has passed */
};

enum place_act {
    PLACE_TAKE_OVER, /* the effect is there: end by it */
    PLACE_INSERT,
    PLACE_CANCEL_UNPLACED,
    PLACE_EXPIRE, /* late, and no payment was asked for yet */
    PLACE_TO_AUTHORIZING,
    PLACE_TO_CANCELING,
    PLACE_AUTHORIZE,
    PLACE_RELEASE,
    PLACE_ENDED, /* the order has ended in another way */
};
enum place_act order_place_next(const struct order_row *o);

enum cancel_act {
    CANCEL_TAKE_OVER,
    CANCEL_EXPIRE, /* late, and it has not begun */
    CANCEL_NOT_FOUND,
    CANCEL_STALE,
    CANCEL_ILLEGAL,
    CANCEL_REQUEST, /* the order is being placed: ask that flow */
    CANCEL_TO_CANCELING,
    CANCEL_RELEASE,
    CANCEL_DONE, /* it is canceled, on our request */
};
/* if_version 0: any. */
enum cancel_act order_cancel_next(const struct order_row *o, int64_t if_version);

#endif
