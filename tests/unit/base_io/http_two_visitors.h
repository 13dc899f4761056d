/* For tests of servers that are started as each test wants them: one, and two clients. */
#ifndef TESTS_HTTP_TWO_VISITORS_H
#define TESTS_HTTP_TWO_VISITORS_H

#include "http_visitor.h"

static struct fixture f;
static struct client c, d;

static int setup(void **state) {
    (void)state;
    fixture_init(&f);
    c.fd = d.fd = -1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    client_close(&c);
    client_close(&d);
    fixture_stop(&f);
    return 0;
}

#endif
