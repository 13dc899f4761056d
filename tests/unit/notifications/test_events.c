/* order.confirmed makes jobs for those the order names, once; and what a GET of a notification shows. */
#include <base/json.h>
#include <jobs/event.h>

#include "notifications_db.h"

struct answer {
    int runs;
    struct err err;
    bool repeated;
};

static void on_delivered(void *arg, struct err err, bool repeated) {
    struct answer *a = arg;
    a->runs++;
    a->err = err;
    a->repeated = repeated;
}

static bool is_answered(void *arg) { return ((struct answer *)arg)->runs > 0; }

static const struct event_consumer *consumer(const char *type) {
    for (size_t i = 0; i < notifications_module.consumers_n; i++) {
        if (strcmp(notifications_module.consumers[i].type, type) == 0) {
            return &notifications_module.consumers[i];
        }
    }
    fail_msg("nobody hears %s", type);
    return NULL;
}

static struct event event_of(const char *data) {
    return (struct event){.id = id_new(&db.ids),
                          .type = STR("order.confirmed"),
                          .source = STR("orders"),
                          .aggregate_id = id_new(&db.ids),
                          .aggregate_version = 3,
                          .tenant = STR("acme"),
                          .trace = trace_new(),
                          .data = str_c(data)};
}

static struct answer deliver(const struct event *e) {
    struct answer a = {0};
    consumer("order.confirmed")->deliver(&db.env, e, on_delivered, &a);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_answered, &a));
    assert_int_equal(1, a.runs);
    return a;
}

static int reset(void **state) {
    (void)state;
    sql_run(db.admin, "TRUNCATE notifications.inbox, notifications.job_outbox");
    return 0;
}

#define ORDER(notify)                                                                                                                    \
    "{\"order_id\":\"o-1\",\"payment_id\":\"p-1\",\"customer_id\":\"c-1\",\"currency\":\"EUR\",\"total_minor\":2599,\"secret\":1" notify \
    "}"
#define BOTH ",\"notify\":{\"email\":\"a@example.com\",\"webhook_url\":\"https://example.com/h\"}"

static const char *jobs(void) {
    return sql_text(
        db.admin,
        "SELECT coalesce(string_agg(type || ' ' || convert_from(payload, 'UTF8'), '; ' ORDER BY type DESC), '') "
        "FROM notifications.job_outbox WHERE tenant = 'acme' AND queue = 'notifications' AND id = root_id AND due_at IS NULL");
}

#define WEBHOOK                                                                                                                                   \
    "notify.webhook {\"url\":\"https://example.com/h\",\"event_type\":\"order.confirmed\",\"data\":{\"order_id\":\"o-1\",\"payment_id\":\"p-1\"," \
    "\"customer_id\":\"c-1\",\"currency\":\"EUR\",\"total_minor\":2599}}"
#define MAIL                                                                                                                      \
    "notify.email {\"to\":\"a@example.com\",\"subject\":\"Your order o-1 is confirmed\",\"text\":\"Thank you. Your order o-1 is " \
    "confirmed.\\nTotal: 2599 (minor units) EUR\\n\"}"

static void test_confirmed__given_whom_to_tell_then_a_job_for_each(void **state) {
    static const struct {
        const char *data, *jobs;
    } rows[] = {
        {ORDER(BOTH), WEBHOOK "; " MAIL},
        {ORDER(",\"notify\":{\"webhook_url\":\"https://example.com/h\"}"), WEBHOOK},
        {ORDER(",\"notify\":{\"email\":\"a@example.com\"}"), MAIL},
        {ORDER(",\"notify\":{}"), ""},
        {ORDER(""), ""},
        {ORDER(",\"notify\":null"), ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)reset(state);
        struct event e = event_of(rows[i].data);
        struct answer a = deliver(&e);
        assert_ok(a.err);
        assert_false(a.repeated);
        assert_string_equal(rows[i].jobs, jobs());
        assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM notifications.inbox"));
    }
}

static void test_confirmed__delivered_again_then_said_to_be_repeated_and_no_more_jobs(void **state) {
    (void)state;
    struct event e = event_of(ORDER(BOTH));
    assert_false(deliver(&e).repeated);
    const char *first = sql_text(db.admin, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM notifications.job_outbox");
    sql_run(db.admin, "DELETE FROM notifications.job_outbox"); /* copied meanwhile */
    struct answer a = deliver(&e);
    assert_ok(a.err);
    assert_true(a.repeated);
    assert_string_equal("", jobs());
    sql_run(db.admin, "DELETE FROM notifications.inbox"); /* if the inbox forgot it: the same ids, which the journal knows */
    assert_false(deliver(&e).repeated);
    assert_string_equal(first, sql_text(db.admin, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM notifications.job_outbox"));
}

static void test_confirmed__then_the_jobs_carry_the_trace(void **state) {
    (void)state;
    struct event e = event_of(ORDER(BOTH));
    char trace[TRACEPARENT_BYTES];
    trace_text(&e.trace, trace);
    (void)deliver(&e);
    assert_string_equal(trace, sql_text(db.admin, "SELECT DISTINCT traceparent FROM notifications.job_outbox"));
}

static void test_confirmed__data_that_is_none_then_refused_for_good(void **state) {
    (void)state;
    static const char *const data[] = {"", "{", "3"};
    for (size_t i = 0; i < 3; i++) {
        struct event e = event_of(data[i]);
        assert_int_equal(ERR_CLASS_INVALID, err_class(deliver(&e).err.code));
    }
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM notifications.inbox"));
}

static void test_confirmed__the_queue_is_not_known_here_yet_then_to_be_tried_again(void **state) {
    (void)state;
    struct queue_table *known = db.queues, *empty;
    struct event e = event_of(ORDER(BOTH));
    assert_ok(queue_table_new(db.platform, &empty));
    db.env.queues = empty;
    assert_int_equal(ERR_CLASS_INFRA, err_class(deliver(&e).err.code));
    db.env.queues = known;
    queue_table_free(empty);
    assert_false(deliver(&e).repeated);
}

/* --- the service --- */

struct viewed {
    bool done;
    struct err err;
    int64_t version;
    char json[512];
};

static void on_view(void *arg, struct err err, const struct view *view) {
    struct viewed *v = arg;
    assert_int_equal(err_is_set(err), view == NULL);
    v->done = true;
    v->err = err;
    if (view != NULL) {
        v->version = view->version;
        assert_true(str_copy_c(view->json, v->json, sizeof v->json));
    }
}

static bool is_viewed(void *arg) { return ((struct viewed *)arg)->done; }

static struct viewed view(const char *tenant, struct uuid id) {
    struct viewed v = {0};
    db.services.notifications.get(db.services.notifications.self, str_c(tenant), id, on_view, &v);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_viewed, &v));
    return v;
}

static void test_get__given_a_message_and_its_effect_then_its_status(void **state) {
    (void)state;
    static const struct {
        const char *row, *effect, *shown;
    } rows[] = {
        {"sending", NULL, "\"status\" : \"sending\""},
        {"retrying", NULL, "\"status\" : \"retrying\""},
        {"sent", "0, 'done', 200, '{}'", "\"status\" : \"sent\""},
        {"unknown", "0, 'done', 200, '{}'", "\"status\" : \"unknown\""},
        {"retrying", "0, 'dead', 500, '{}'", "\"status\" : \"dead\""},
        {"retrying", "0, 'cancelled', 409, '{}'", "\"status\" : \"cancelled\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = new_root();
        char id[UUID_TEXT_BYTES];
        json_t *doc;
        struct str shown;
        uuid_text(root, id);
        add_message(root, "webhook", rows[i].row);
        if (rows[i].effect != NULL) {
            add_effect(root, rows[i].effect);
        }
        struct viewed v = view("default", root);
        assert_ok(v.err);
        assert_int_equal(1, v.version);
        assert_non_null(strstr(v.json, rows[i].shown));
        assert_ok(json_read(str_c(v.json), &doc));
        assert_ok(json_get_str(doc, "notification_id", &shown));
        assert_str(id, shown);
        json_decref(doc);
        assert_err(ERR_NOT_FOUND, view("other", root).err);
    }
    assert_err(ERR_NOT_FOUND, view("default", new_root()).err);
}

/* --- without memory --- */

static void scenario(void *arg) {
    (void)arg;
    struct event e = event_of(ORDER(BOTH));
    struct answer a = deliver(&e);
    assert_true(!err_is_set(a.err) || (torture_is_failing() && err_class(a.err.code) == ERR_CLASS_INFRA));
    if (err_is_set(a.err)) { /* nothing of it stands */
        char sql[160], id[UUID_TEXT_BYTES];
        uuid_text(e.id, id);
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM notifications.inbox WHERE event_id = '%s'", id);
        assert_int_equal(0, sql_int(db.admin, sql));
    }
}

static void test_confirmed__any_allocation_fails_then_all_or_nothing(void **state) {
    (void)state;
    torture(scenario, NULL);
    assert_string_equal(
        "t", sql_text(db.admin,
                      "SELECT (SELECT count(*) FROM notifications.job_outbox) = 2 * (SELECT count(*) FROM notifications.inbox)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_confirmed__given_whom_to_tell_then_a_job_for_each, reset),
        cmocka_unit_test_setup(test_confirmed__delivered_again_then_said_to_be_repeated_and_no_more_jobs, reset),
        cmocka_unit_test_setup(test_confirmed__then_the_jobs_carry_the_trace, reset),
        cmocka_unit_test_setup(test_confirmed__data_that_is_none_then_refused_for_good, reset),
        cmocka_unit_test_setup(test_confirmed__the_queue_is_not_known_here_yet_then_to_be_tried_again, reset),
        cmocka_unit_test_setup(test_get__given_a_message_and_its_effect_then_its_status, reset),
        cmocka_unit_test_setup(test_confirmed__any_allocation_fails_then_all_or_nothing, reset),
    };
    return cmocka_run_group_tests(tests, notifications_db_setup, notifications_db_teardown);
}
