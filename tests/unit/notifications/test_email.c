/* E-mail through a relay: what its answers come to. */
#include <base/json.h>
#include <jobs/runtime.h>

#include "notifications_db.h"
#include "peer.h"

static struct peer peer;
static const char *mail_state; /* the last that was told of the relay */

/* In place of the runtime's, which needs a Redis. */
void runtime_dependency(struct runtime *rt, const char *name, bool up) {
    (void)rt;
    assert_string_equal("mail", name);
    mail_state = up ? "up" : "down";
}

#define MAIL "{\"to\":\"c@example.com\",\"subject\":\"An order\",\"text\":\"Hello\""
#define GREETING                                                                                           \
    {PEER_ACCEPT, NULL}, {PEER_SEND, "220 sink\r\n"}, {PEER_READ, "EHLO "}, {PEER_SEND, "250 sink\r\n"}, { \
        PEER_READ, "MAIL FROM:<penstock@localhost>"                                                        \
    }
#define RCPT \
    GREETING, {PEER_SEND, "250 ok\r\n"}, { PEER_READ, "RCPT TO:<c@example.com>" }
#define DATA \
    RCPT, {PEER_SEND, "250 ok\r\n"}, {PEER_READ, "DATA\r\n"}, {PEER_SEND, "354 go\r\n"}, { PEER_READ, "\r\n.\r\n" }
#define END \
    { PEER_END, NULL }

static const char *run_against(const struct peer_step *script, struct uuid root, const char *payload) {
    char url[64], *before = db.conf.mail_url;
    peer_start(&peer, script);
    (void)snprintf(url, sizeof url, "smtp://127.0.0.1:%d", peer.port);
    db.conf.mail_url = url;
    mail_state = "";
    const char *ended = run_to_end("notify.email", root, 0, payload);
    db.conf.mail_url = before;
    peer_stop(&peer);
    return ended;
}

static void test_email__accepted_then_sent_under_the_jobs_id(void **state) {
    (void)state;
    static const struct peer_step script[] = {DATA, {PEER_SEND, "250 queued\r\n"}, {PEER_READ, "QUIT\r\n"}, END};
    struct uuid root = new_root();
    char id[UUID_TEXT_BYTES], header[80];
    uuid_text(root, id);
    (void)snprintf(header, sizeof header, "\r\nMessage-ID: <%s@penstock>\r\n", id);
    assert_string_equal("done 200", run_against(script, root, MAIL "}"));
    assert_non_null(strstr(peer.seen, header));
    assert_non_null(strstr(peer.seen, "\r\nSubject: An order\r\n"));
    assert_string_equal("sent 1", status_of(root));
    assert_string_equal("up", mail_state);
    assert_string_equal("c@example.com", of_message(root, "recipient"));
    assert_string_equal("done 200 absorbed", run_to_end("notify.email", root, 0, MAIL "}")); /* nobody listens: nothing is sent */
}

static void test_email__given_the_relays_answer_then_the_attempts_end(void **state) {
    (void)state;
    static const struct peer_step later[] = {RCPT, {PEER_SEND, "451 greylisted\r\n"}, {PEER_HANG, NULL}, END},
                                  closing[] = {RCPT, {PEER_SEND, "421 closing\r\n"}, {PEER_HANG, NULL}, END},
                                  no[] = {RCPT, {PEER_SEND, "550 no such user\r\n"}, {PEER_HANG, NULL}, END},
                                  full[] = {DATA, {PEER_SEND, "452 full\r\n"}, {PEER_HANG, NULL}, END},
                                  gone[] = {GREETING, {PEER_CLOSE, NULL}, END}, lost[] = {DATA, {PEER_CLOSE, NULL}, END};
    static const struct {
        const struct peer_step *script;
        const char *ended, *row, *mail;
    } rows[] = {
        {later, "failed transient 0", "retrying 1", "up"}, /* it answers: of this one recipient */
        {closing, "failed transient 0", "retrying 1", "down"},
        {no, "failed refused 0", "retrying 1", "up"},
        {full, "failed transient 0", "retrying 1", "up"},
        {gone, "later busy 1000", "retrying 1", "down"},     /* the relay is ours: nothing is charged */
        {lost, "failed net_unknown 0", "unknown 1", "down"}, /* it has all of it, and did not say so */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = new_root();
        assert_string_equal(rows[i].ended, run_against(rows[i].script, root, MAIL "}"));
        assert_string_equal(rows[i].row, status_of(root));
        assert_string_equal(rows[i].mail, mail_state);
    }
}

static void test_email__the_relay_is_away_then_waited_for_without_a_charge(void **state) {
    (void)state;
    struct uuid root = new_root();
    char url[64], *before = db.conf.mail_url;
    (void)snprintf(url, sizeof url, "smtp://127.0.0.1:%d", server_free_port());
    db.conf.mail_url = url;
    mail_state = "";
    assert_string_equal("later busy 1000", run_to_end("notify.email", root, 0, MAIL ",\"on_unknown\":\"never\"}"));
    assert_string_equal("down", mail_state);
    assert_string_equal("later busy 1000", run_to_end("notify.email", root, 0, MAIL ",\"on_unknown\":\"never\"}"));
    db.conf.mail_url = before;
    assert_string_equal("retrying 2", status_of(root));
}

static void test_email__unknown_then_the_policy_decides(void **state) {
    (void)state;
    static const struct peer_step script[] = {DATA, {PEER_SEND, "250 queued\r\n"}, {PEER_READ, "QUIT\r\n"}, END};
    struct uuid root = new_root(), other = new_root();
    add_message(root, "email", "sending");
    assert_string_equal("done 200", run_to_end("notify.email", root, 0, MAIL ",\"on_unknown\":\"never\"}"));
    assert_string_equal("unknown 2", status_of(root));
    add_message(other, "email", "sending");
    assert_string_equal("done 200", run_against(script, other, MAIL "}"));
    assert_string_equal("sent 2", status_of(other));
}

static void test_email__what_is_no_address_then_invalid_at_once(void **state) {
    (void)state;
    struct uuid root = new_root();
    assert_string_equal("failed invalid 0",
                        run_to_end("notify.email", root, 0,
                                   "{\"to\":\"a@example.com\\r\\nBcc: b@example.com\",\"subject\":\"s\",\"text\":\"\"}"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_email__accepted_then_sent_under_the_jobs_id),
        cmocka_unit_test(test_email__given_the_relays_answer_then_the_attempts_end),
        cmocka_unit_test(test_email__the_relay_is_away_then_waited_for_without_a_charge),
        cmocka_unit_test(test_email__unknown_then_the_policy_decides),
        cmocka_unit_test(test_email__what_is_no_address_then_invalid_at_once),
    };
    return cmocka_run_group_tests(tests, notifications_db_setup, notifications_db_teardown);
}
