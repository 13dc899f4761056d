/* penstock order|payment|notification get|timeline, audit list */
#include "cli.h"
#include "show.h"

static const struct column order_columns[] = {{"NAME", "order_id", COLUMN_TEXT, 0},
                                              {"STATUS", "status", COLUMN_TEXT, 0},
                                              {"PAYMENT", "payment_id", COLUMN_TEXT, COLUMN_WIDE},
                                              {"VERSION", "version", COLUMN_TEXT, 0},
                                              {"AGE", "order_id", COLUMN_AGE, 0}};
static const struct column payment_columns[] = {{"NAME", "payment_id", COLUMN_TEXT, 0},
                                                {"STATUS", "status", COLUMN_TEXT, 0},
                                                {"AMOUNT", "amount_minor", COLUMN_TEXT, 0},
                                                {"CURRENCY", "currency", COLUMN_TEXT, 0},
                                                {"CAPTURED", "captured_minor", COLUMN_TEXT, COLUMN_WIDE},
                                                {"REFUNDED", "refunded_minor", COLUMN_TEXT, COLUMN_WIDE},
                                                {"ORDER", "order_id", COLUMN_TEXT, COLUMN_WIDE},
                                                {"AGE", "created_at", COLUMN_AGE, 0}};
static const struct column notification_columns[] = {{"NAME", "notification_id", COLUMN_TEXT, 0},
                                                     {"CHANNEL", "channel", COLUMN_TEXT, 0},
                                                     {"STATUS", "status", COLUMN_TEXT, 0},
                                                     {"ATTEMPTS", "attempts", COLUMN_TEXT, 0},
                                                     {"AGE", "notification_id", COLUMN_AGE, 0}};
/* In order of time. */
static const struct column timeline_columns[] = {{"NAME", "what", COLUMN_TEXT, COLUMN_CUT},
                                                 {"SOURCE", "source", COLUMN_TEXT, 0},
                                                 {"STATE", "detail.state", COLUMN_TEXT, 0},
                                                 {"TIME", "at", COLUMN_TEXT, 0},
                                                 {"AGE", "at", COLUMN_AGE, 0}};
static const struct column audit_columns[] = {{"NAME", "target", COLUMN_TEXT, COLUMN_CUT},
                                              {"ACTION", "action", COLUMN_TEXT, COLUMN_CUT},
                                              {"AUTHOR", "author", COLUMN_TEXT, COLUMN_CUT},
                                              {"REASON", "reason", COLUMN_TEXT, COLUMN_CUT},
                                              {"AGE", "at", COLUMN_AGE, 0}};

#define N(columns) (sizeof(columns) / sizeof(columns)[0])

static int get(const struct options *o, const char *path, const struct column *columns, size_t n) {
    const struct client_request r = {.method = "GET", .path = {path, o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, n);
}

static int timeline(const struct options *o, const char *path) {
    const struct client_request r = {.method = "GET", .path = {path, o->args[0], "/timeline"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, timeline_columns, N(timeline_columns));
}

int cli_order_get(const struct options *o) { return get(o, "/v1/orders/", order_columns, N(order_columns)); }
int cli_payment_get(const struct options *o) { return get(o, "/v1/payments/", payment_columns, N(payment_columns)); }
int cli_notification_get(const struct options *o) {
    return get(o, "/v1/notifications/", notification_columns, N(notification_columns));
}

int cli_order_timeline(const struct options *o) { return timeline(o, "/v1/orders/"); }
int cli_payment_timeline(const struct options *o) { return timeline(o, "/v1/payments/"); }
int cli_notification_timeline(const struct options *o) { return timeline(o, "/v1/notifications/"); }

int cli_audit_list(const struct options *o) {
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/audit"},
                                     .query = {{"target", o->value[OPTION_TARGET]},
                                               {"action", o->value[OPTION_ACTION]},
                                               {"author", o->value[OPTION_AUTHOR]},
                                               {"limit", o->value[OPTION_LIMIT]},
                                               {"cursor", o->value[OPTION_CURSOR]}},
                                     .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, audit_columns, N(audit_columns));
}
