/* The adapter of the simulator over real HTTP, against a peer in the same loop that answers what it is told to. */
#include <base/json.h>
#include <io/http_client.h>
#include <io/http_server.h>
#include <jobs/type.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../jobs/payments/src/provider.h"
#include "unit.h"
#include "wait.h"

static struct loop *loop;
static struct http_server *server;
static struct conf conf;
static struct module_env env;
static struct provider *provider;

static struct {
    int status;
    const char *answer; /* NULL: the connection is dropped */
    const char *retry_after;
    char request[1024], signature[80], traceparent[80];
} peer;

static void on_request(void *arg, struct http_request *req) {
    (void)arg;
    (void)snprintf(peer.request, sizeof peer.request, "%.*s %.*s %.*s", STR_ARG(req->method), STR_ARG(req->target),
                   STR_ARG(req->body));
    (void)str_copy_c(http_request_header(req, "penstock-signature"), peer.signature, sizeof peer.signature);
    (void)str_copy_c(http_request_header(req, "traceparent"), peer.traceparent, sizeof peer.traceparent);
    if (peer.answer == NULL) {
        http_drop(req);
        return;
    }
    const struct http_header retry_after = {STR("Retry-After"), str_c(peer.retry_after)};
    const struct http_answer answer = {.status = peer.status,
                                       .content_type = "application/json",
                                       .body = str_c(peer.answer),
                                       .headers = &retry_after,
                                       .headers_n = peer.retry_after != NULL};
    http_respond(req, &answer);
}

static void on_bad(void *arg, int status, const char *reason, struct buf *body) {
    (void)arg;
    (void)status;
    buf_add_c(body, reason);
}

static int setup(void **state) {
    (void)state;
    char url[64];
    const struct http_server_options o = {.listen = "127.0.0.1:0",
                                          .max_connections = 10,
                                          .max_body_bytes = 4096,
                                          .header_ms = 2000,
                                          .idle_ms = 5000,
                                          .body_bytes_per_s = 1,
                                          .on_request = on_request,
                                          .on_bad = on_bad};
    const struct http_client_options c = {.max_in_flight = 4, .max_waiting = 4, .user_agent = "test"};
    assert_ok(loop_new(&loop));
    assert_ok(http_server_new(loop, &o, &server));
    assert_ok(conf_load(NULL, &conf));
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", http_server_port(server));
    free(conf.payments_provider_url);
    free(conf.payments_provider_secret);
    conf.payments_provider_url = strdup(url);
    conf.payments_provider_secret = strdup("s3");
    env = (struct module_env){.loop = loop, .conf = &conf};
    assert_ok(http_client_new(loop, &c, &env.http));
    assert_ok(provider_sim_new(&env, &provider));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    provider->close(provider);
    http_client_close(env.http);
    http_server_close(server);
    conf_free(&conf);
    loop_free(loop);
    return 0;
}

struct asked {
    bool done;
    struct provider_answer answer;
    char ref[32], code[32];
};

static void on_answer(void *arg, const struct provider_answer *a) {
    struct asked *q = arg;
    assert_false(q->done);
    q->answer = *a;
    assert_true(str_copy_c(a->provider_ref, q->ref, sizeof q->ref));
    assert_true(str_copy_c(a->code, q->code, sizeof q->code));
    q->done = true;
}

static bool is_done(void *arg) { return ((struct asked *)arg)->done; }

static const struct uuid reference = {{0x01, 0x97, 0xa0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}};

static struct asked call(int status, const char *answer) {
    struct asked q = {0};
    const struct provider_call c = {.kind = OP_AUTHORIZE,
                                    .reference = reference,
                                    .amount = 5,
                                    .currency = "EUR",
                                    .token = STR("tok"),
                                    .traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                                    .not_after = {99},
                                    .deadline_ms = 2000};
    peer.status = status;
    peer.answer = answer;
    provider->call(provider, &c, on_answer, &q);
    assert_false(q.done);
    assert_true(wait_until(loop, 5000, is_done, &q));
    return q;
}

static void test_provider_sim__given_a_call_then_it_is_signed_and_its_answer_read(void **state) {
    (void)state;
    struct asked q = call(200, "{\"outcome\":\"ok\",\"provider_ref\":\"ch_1\",\"amount\":5,\"currency\":\"EUR\"}");
    assert_int_equal(PROVIDER_OK, q.answer.outcome);
    assert_string_equal("ch_1", q.ref);
    assert_string_equal(
        "POST /v1/authorize {\"reference\":\"0197a000-0000-7000-8000-000000000001\",\"amount\":5,\"not_after\":99,"
        "\"currency\":\"EUR\",\"token\":\"tok\"}",
        peer.request);
    assert_int_equal(64, strlen(peer.signature));
    assert_string_equal("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", peer.traceparent);
    q = call(402, "{\"outcome\":\"declined\",\"code\":\"card_declined\"}");
    assert_int_equal(PROVIDER_DECLINED, q.answer.outcome);
    assert_string_equal("card_declined", q.code);
}

static void test_provider_sim__given_no_answer_then_unknown_and_given_nobody_then_not_sent(void **state) {
    (void)state;
    assert_int_equal(PROVIDER_UNKNOWN, call(200, NULL).answer.outcome);
    assert_int_equal(PROVIDER_UNKNOWN, call(500, "{}").answer.outcome);
    char *url = conf.payments_provider_url;
    conf.payments_provider_url = (char[]){"http://127.0.0.1:1"};
    assert_int_equal(PROVIDER_NOT_SENT, call(200, "{}").answer.outcome);
    conf.payments_provider_url = url;
}

static void test_provider_sim__given_retry_after_then_it_is_told(void **state) {
    (void)state;
    assert_int_equal(0, call(429, "{}").answer.after_ms);
    peer.retry_after = "7";
    struct asked q = call(429, "{}");
    assert_int_equal(PROVIDER_REFUSED, q.answer.outcome);
    assert_int_equal(ERR_TRANSIENT, q.answer.err.code);
    assert_int_equal(7000, q.answer.after_ms);
    assert_int_equal(7000, call(503, "").answer.after_ms);
    peer.retry_after = NULL;
}

static void test_provider_sim__given_a_lookup_then_what_the_book_has(void **state) {
    (void)state;
    struct asked q = {0};
    peer.status = 200;
    peer.answer =
        "{\"found\":true,\"entries\":[{\"op\":\"authorize\",\"provider_ref\":\"ch_7\",\"amount\":5,\"currency\":\"EUR\"}]}";
    provider->lookup(provider, reference, 2000, on_answer, &q);
    assert_true(wait_until(loop, 5000, is_done, &q));
    assert_int_equal(PROVIDER_OK, q.answer.outcome);
    assert_string_equal("ch_7", q.ref);
    assert_string_equal("GET /v1/lookup?reference=0197a000-0000-7000-8000-000000000001 ", peer.request);
}

static void scenario(void *arg) {
    (void)arg;
    struct asked q = {0};
    const struct provider_call c = {
        .kind = OP_AUTHORIZE, .reference = reference, .amount = 5, .currency = "EUR", .token = STR("tok"), .deadline_ms = 200};
    peer.status = 402;
    peer.answer = "{\"outcome\":\"declined\",\"code\":\"no\"}";
    provider->call(provider, &c, on_answer, &q);
    assert_true(wait_until(loop, 5000, is_done, &q));
    assert_true(q.answer.outcome == PROVIDER_DECLINED || torture_is_failing());
    q = (struct asked){0};
    provider->lookup(provider, reference, 200, on_answer, &q);
    assert_true(wait_until(loop, 5000, is_done, &q));
}

static void test_provider_sim__given_any_allocation_that_fails_then_every_call_is_answered_once(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provider_sim__given_a_call_then_it_is_signed_and_its_answer_read),
        cmocka_unit_test(test_provider_sim__given_no_answer_then_unknown_and_given_nobody_then_not_sent),
        cmocka_unit_test(test_provider_sim__given_retry_after_then_it_is_told),
        cmocka_unit_test(test_provider_sim__given_a_lookup_then_what_the_book_has),
        cmocka_unit_test(test_provider_sim__given_any_allocation_that_fails_then_every_call_is_answered_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
