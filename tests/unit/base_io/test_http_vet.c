#include "http_client_fixture.h"

#include <dlfcn.h>
#include <netdb.h>

#define REBOUND "rebound.example"

/* What REBOUND is at each question, spaces between the addresses of one; the last answer stays. */
static const char *const *rebound;

/* Instead of glibc's, also for libcurl. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name == NULL || strcmp(name, REBOUND) != 0) {
        return real(name, service, req, pai);
    }
    struct str rest = str_c(*rebound), one;
    rebound += rebound[1] != NULL ? 1 : 0;
    for (*pai = NULL; str_cut(&rest, ' ', &one); pai = &(*pai)->ai_next) {
        char text[INET6_ADDRSTRLEN];
        assert_true(str_copy_c(one, text, sizeof text));
        assert_int_equal(0, real(text, service, req, pai));
    }
    return 0;
}

/* Every one of them leads inside, or is written in a way that is not allowed outside. */
static const char urls[] = "https://127.0.0.1/ https://2130706433/ https://0x7f.1/ https://0177.0.0.1:8443/ https://127.1/ "
                           "https://[::1]/ https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/ https://169.254.169.254/ "
                           "https://localhost/ https://LOCALHOST:8443/ https://a.localhost/ https://0.0.0.0/ https://0/ "
                           "https://[::]/ https://10.1.2.3/ https://[64:ff9b::7f00:1]/ https://[2002:7f00:1::]/ "
                           "https://[fe80::1%25lo]/ https://[fd00::1]/ https://192.168.0.1/ http://1.1.1.1/ https://1.1.1.1:22/ "
                           "https://1.1.1.1:80/ http://1.1.1.1:443/ https://u@1.1.1.1/ https://u:p@1.1.1.1/ https://:p@1.1.1.1/";

static void test_http_vet__vetted_then_no_spelling_of_an_inside_address_gets_through(void **state) {
    (void)state;
    static const struct http_client_options o[] = {{.max_in_flight = 64}, {.max_in_flight = 64, .allow_cidr = "198.51.100.0/24"}};
    struct str url;
    for (size_t k = 0; k < 2; k++) {
        set_up(&the, &o[k]);
        struct str rest = str_c(urls);
        while (str_cut(&rest, ' ', &url)) {
            (void)send_spec(
                &the,
                &(struct http_spec){.method = "POST", .url = url, .body = STR("x"), .deadline_ms = DEADLINE_MS, .vetted = true});
        }
        run(&the);
        for (int i = 0; i < the.calls; i++) {
            if (the.out[i].err.code != ERR_NET_ADDRESS) {
                fail_msg("url %d: %s: %s", i, err_name(the.out[i].err.code), the.out[i].err.detail);
            }
        }
        tear_down(&the);
    }
}

static void test_http_vet__exempt_range_then_http_and_any_port_go(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "x"}, {PEER_SEND, OK_ANSWER}, {PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 8, .allow_cidr = "10.0.0.0/8, 127.0.0.0/8"};
    set_up(&the, &o);
    peer_start(&the.peer, script);
    (void)send_to(&the, "POST", "/", "x", true);
    run(&the);
    assert_ok(the.out[0].err);
    tear_down(&the);
    peer_join(&the.peer);
}

static void test_http_vet__an_open_connection_of_another_call_then_not_taken_by_a_vetted_one(void **state) {
    (void)state;
    static const struct peer_step script[] = {
        {PEER_ACCEPT, NULL}, {PEER_READ, "one"}, {PEER_SEND, OK_ANSWER}, {PEER_READ, "two"}, {PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 8, .allow_cidr = "10.0.0.0/8"};
    set_up(&the, &o);
    peer_start(&the.peer, script);
    (void)send_to(&the, "POST", "/", "one", false);
    run(&the);
    assert_ok(the.out[0].err);
    (void)send_to(&the, "POST", "/", "two", true);
    run(&the);
    assert_int_equal(ERR_NET_ADDRESS, the.out[1].err.code);
    tear_down(&the);
    peer_stop(&the.peer);
    assert_null(strstr(the.peer.seen, "two"));
}

/* Judged is the address that is connected to, whatever the name was a moment ago or is besides. */
static void test_http_vet__a_name_that_changes_then_only_the_exempt_address_is_spoken_to(void **state) {
    (void)state;
    static const struct {
        const char *answers[3];
        enum err_code want[2];
    } cases[] = {
        {{"127.0.0.1", "127.0.0.2"}, {ERR_NONE, ERR_NET_ADDRESS}},
        {{"127.0.0.2", "127.0.0.1"}, {ERR_NET_ADDRESS, ERR_NONE}},
        {{"127.0.0.2 127.0.0.1", "127.0.0.2 127.0.0.3"}, {ERR_NONE, ERR_NET_ADDRESS}},
    };
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "x"}, {PEER_SEND, OK_ANSWER}, {PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 8, .allow_cidr = "127.0.0.1/32"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_start(&the.peer, script);
        rebound = cases[i].answers;
        for (int k = 0; k < 2; k++) { /* a client of its own: it remembers names for a minute */
            char url[64];
            set_up(&the, &o);
            (void)snprintf(url, sizeof url, "http://" REBOUND ":%d/", the.peer.port);
            (void)send_to(&the, "POST", url, "x", true);
            run(&the);
            assert_int_equal(cases[i].want[k], the.out[0].err.code);
            tear_down(&the);
        }
        peer_join(&the.peer);
    }
}

static bool allowed(const char *text, const char *allow) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return http_address_allowed((struct sockaddr *)&v4, allow);
    }
    assert_int_equal(1, inet_pton(AF_INET6, text, &v6.sin6_addr));
    return http_address_allowed((struct sockaddr *)&v6, allow);
}

/* Without asking anybody what a name is. */
static void test_http_vet__a_url_then_judged_before_it_is_called(void **state) {
    (void)state;
    static const struct {
        const char *urls, *allow;
        enum err_code want;
    } cases[] = {
        {urls, "", ERR_NET_ADDRESS},
        {urls, "198.51.100.0/24", ERR_NET_ADDRESS},
        {"https://1.1.1.1/ https://[2606:4700::1111]:8443/a?b=c https://" REBOUND "/ https://localhost.example/", "", ERR_NONE},
        {"http://127.0.0.1:9/ http://localhost/ http://a.LOCALHOST.:81/ http://" REBOUND "/", "127.0.0.0/8", ERR_NONE},
        {"https://", "", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str rest = str_c(cases[i].urls), one;
        while (str_cut(&rest, ' ', &one)) {
            struct err e = http_url_vet(one, cases[i].allow);
            if (e.code != cases[i].want) {
                fail_msg("%.*s, allow %s: %s %s", STR_ARG(one), cases[i].allow, err_name(e.code), e.detail);
            }
        }
    }
}

static const char inside[] =
    "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 "
    "169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.255.255 198.18.0.0 "
    "198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 "
    "::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::1.1.1.1 "
    "64:ff9b:1::1 100::1 2001::1 2001:10::1 2001:1ff::1 2001:db8::1 2002:101:101::1 3fff::1 5f00::1 fc00::1 "
    "fdff::1 fe80::1 febf::1 fec0::1 ff02::1";
static const char outside[] =
    "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255 "
    "172.32.0.0 192.0.1.1 192.0.3.1 192.167.0.1 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 "
    "::ffff:1.1.1.1 2001:200::1 2606:4700::1111 2a00::1";

static void test_http_vet__addresses_then_only_the_public_internet_is_allowed(void **state) {
    (void)state;
    static const struct {
        const char *texts, *allow;
        bool want;
    } cases[] = {{inside, NULL, false},
                 {inside, "", false},
                 {inside, "8.0.0.0/8", false},
                 {inside, "0.0.0.0/0,::/0", true},
                 {outside, NULL, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str rest = str_c(cases[i].texts);
        struct str one;
        char text[INET6_ADDRSTRLEN];
        while (str_cut(&rest, ' ', &one)) {
            assert_true(str_copy_c(one, text, sizeof text));
            if (allowed(text, cases[i].allow) != cases[i].want) {
                fail_msg("%s, allow %s", text, cases[i].allow);
            }
        }
    }
}

static void test_http_vet__allowed_ranges_then_exact_to_the_bit(void **state) {
    (void)state;
    assert_true(allowed("127.0.0.1", "127.0.0.0/8,::1/128"));
    assert_true(allowed("::1", "127.0.0.0/8,::1/128"));
    assert_true(allowed("::ffff:127.0.0.1", "127.0.0.0/8"));
    assert_true(allowed("10.1.2.3", "10.1.2.0/23"));
    assert_false(allowed("10.1.4.3", "10.1.2.0/23"));
    assert_false(allowed("::2", "::1/128"));
    struct sockaddr unix_socket = {.sa_family = AF_UNIX};
    assert_false(http_address_allowed(&unix_socket, "0.0.0.0/0,::/0"));
}

static void test_http_vet__bad_ranges_then_refused_at_start(void **state) {
    (void)state;
    static const char *const bad[] = {"127.0.0.1",     "127.0.0.0/33",  "::/129",       "localhost/8",
                                      "127.0.0.0/8,,", "127.0.0.0/8,x", "127.0.0.0/-1", "1/8"};
    struct loop *l;
    struct http_client *c;
    assert_ok(loop_new(&l));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_client_options o = {.max_in_flight = 1, .allow_cidr = bad[i]};
        assert_err(ERR_INVALID, http_client_new(l, &o, &c));
    }
    loop_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_vet__vetted_then_no_spelling_of_an_inside_address_gets_through),
        cmocka_unit_test(test_http_vet__exempt_range_then_http_and_any_port_go),
        cmocka_unit_test(test_http_vet__an_open_connection_of_another_call_then_not_taken_by_a_vetted_one),
        cmocka_unit_test(test_http_vet__a_name_that_changes_then_only_the_exempt_address_is_spoken_to),
        cmocka_unit_test(test_http_vet__a_url_then_judged_before_it_is_called),
        cmocka_unit_test(test_http_vet__addresses_then_only_the_public_internet_is_allowed),
        cmocka_unit_test(test_http_vet__allowed_ranges_then_exact_to_the_bit),
        cmocka_unit_test(test_http_vet__bad_ranges_then_refused_at_start),
    };
    return cmocka_run_group_tests_name("http_vet", tests, NULL, NULL);
}
